"""A real Kamailio of its own directory and port, and phones that register at it over UDP."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import tables

CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children={children}
tcp_children={children}
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
tcp_accept_no_cl=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
{modules}
{further}
modparam("usrloc", "db_url", "sqlite:///{database}")
modparam("usrloc", "db_mode", {mode})
modparam("usrloc", "use_domain", 1)
modparam("usrloc", "timer_interval", {timer})
modparam("usrloc", "xavp_contact", "ulattrs")
modparam("registrar", "max_expires", 7200)
modparam("jsonrpcs", "transport", 1)
request_route {{
    $xavp(ulattrs=>token) = $hdr(X-Token);
    save("location");
    exit;
}}
event_route[xhttp:request] {{
    jsonrpc_dispatch();
}}
"""
MODULES = ("db_sqlite", "sl", "pv", "textops", "usrloc", "registrar", "xhttp", "jsonrpcs")
CALL_ID = re.compile(rb"\r\nCall-ID: call-(\d+)\r\n")


class Registrar:
    """A Kamailio that runs until `stop`."""

    def __init__(self, where, mode, timer, journal="WAL", children=2, workers=None, busy_timeout=False):
        """In write-through mode the workers' own statements collide, so that there is one, unless `workers` says else."""
        self.where = Path(where)
        self.file = str(self.where / "kamailio.sqlite")
        # One port for UDP and TCP; TCP ports are the scarcer ones.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.rpc = f"http://127.0.0.1:{self.port}/RPC"
        tables.create(self.file, journal).close()
        config = CONFIG.format(
            port=self.port, modules="\n".join(f'loadmodule "{it}.so"' for it in MODULES), database=self.file,
            timer=timer, mode=mode, children=workers or (children if mode == 2 else 1),
            further=f'modparam("db_sqlite", "db_set_busy_timeout", "{self.file}=2000")' if busy_timeout else "",
        )
        (self.where / "kamailio.cfg").write_text(config)
        (self.where / "run").mkdir()
        self.process = None

    def start(self):
        log = open(self.where / "kamailio.log", "wb")
        self.process = subprocess.Popen(
            [shutil.which("kamailio", path=os.environ["PATH"] + ":/usr/sbin"), "-DD", "-E", "-f", self.where / "kamailio.cfg", "-Y", self.where / "run",
             "-w", self.where, "-m", "256", "-M", "32"],
            stdout=log, stderr=log,
        )
        with Phones(self.port) as phone:
            for _ in range(50):
                if phone.register_all(1, 1, 0.2)[0]:
                    return
                if self.process.poll() is not None:
                    break
        raise RuntimeError("Kamailio does not start: " + self.log()[-2000:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def log(self):
        return (self.where / "kamailio.log").read_text(errors="replace")

    def lock_errors(self):
        return self.log().count("database is locked")


class Phones:
    """All phones on one socket; an answer is told from the others by its Call-ID."""

    def __init__(self, port, accounts=200):
        self.accounts = accounts
        self.registrar = ("127.0.0.1", port)
        self.cseq = 0

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.own = self.socket.getsockname()[1]
        return self

    def __exit__(self, *_):
        self.socket.close()

    def request(self, number):
        user, owner, realm = f"user{number}", tables.account(number % self.accounts), f"realm{number % self.accounts}.example.com"
        return (
            f"REGISTER sip:{realm} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.own};branch=z9hG4bK{number}-{self.cseq}\r\n"
            f"From: <sip:{user}@{realm}>;tag={number}\r\nTo: <sip:{user}@{realm}>\r\n"
            f"Call-ID: call-{number}\r\nCSeq: {self.cseq} REGISTER\r\n"
            f"Contact: <sip:{user}@127.0.0.1:{self.own}>\r\nExpires: 3600\r\nX-Token: {number:032x}@{owner}\r\n"
            "Max-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def register_all(self, count, at_once=64, patience=5):
        """Registers each phone once; how many were answered with 200, and the seconds that each took."""
        return self.run(range(count), at_once, lambda: 0, patience)

    def register_for(self, seconds, count, at_once):
        """Registers phones again and again, as fast as they are answered."""
        end = time.monotonic() + seconds
        numbers = (number % count for number in iter(int, 1) for number in range(count))
        return self.run(until(numbers, end), at_once, lambda: 0, 5)

    def register_paced(self, seconds, count, rate):
        """Registers phones at a rate, whether they are answered or not."""
        begin, sent = time.monotonic(), 0

        def due():
            nonlocal sent
            sent += 1
            return begin + (sent - 1) / rate - time.monotonic()

        return self.run((number % count for number in range(int(seconds * rate))), 1 << 20, due, 5)

    def run(self, numbers, at_once, due, patience):
        """`due` tells how long the next REGISTER has to wait yet."""
        good, took, waiting, numbers = 0, [], {}, iter(numbers)
        self.cseq += 1
        upcoming = next(numbers, None)
        wait = due()
        while upcoming is not None or waiting:
            free = upcoming is not None and len(waiting) < at_once and upcoming not in waiting
            if free and wait <= 0:
                waiting[upcoming] = time.monotonic()
                self.socket.sendto(self.request(upcoming), self.registrar)
                following = next(numbers, None)
                if following is not None and following <= upcoming:
                    self.cseq += 1
                upcoming, wait = following, due()
                continue
            begun = time.monotonic()
            self.socket.settimeout(max(min(wait, patience), 1e-4) if free else patience)
            try:
                answer = self.socket.recv(4096)
            except TimeoutError:
                if not free:
                    break
                answer = b""
            now = time.monotonic()
            wait -= now - begun
            if (found := CALL_ID.search(answer)) and (since := waiting.pop(int(found[1]), None)):
                took.append(now - since)
                good += answer.startswith(b"SIP/2.0 200")
        return good, took


def until(numbers, end):
    for number in numbers:
        if time.monotonic() >= end:
            return
        yield number
