"""A real Kamailio with nothing but a registrar and JSON-RPC over HTTP, and phones that register with it."""

import socket
import subprocess
import time

import tables

MODULES = ("db_sqlite", "sl", "pv", "textops", "usrloc", "registrar", "xhttp", "jsonrpcs")
CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children={children}
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
tcp_accept_no_cl=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
{modules}
modparam("usrloc", "db_url", "sqlite:///{database}")
modparam("usrloc", "db_mode", 2)
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


class Kamailio:
    def __init__(self, folder, database, timer, accounts, children):
        self.folder, self.accounts, self.process = folder, accounts, None
        self.phones = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.phones.bind(("127.0.0.1", 0))
        self.phones.settimeout(5)
        # One port for UDP and TCP; TCP ports are the scarcer ones.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.rpc = f"http://127.0.0.1:{self.port}/RPC"
        modules = "\n".join(f'loadmodule "{it}.so"' for it in MODULES)
        (folder / "kamailio.cfg").write_text(
            CONFIG.format(port=self.port, modules=modules, database=database, timer=timer, children=children)
        )
        (folder / "run").mkdir()

    def start(self):
        log = open(self.folder / "kamailio.log", "wb")
        files = ["-f", self.folder / "kamailio.cfg", "-Y", self.folder / "run", "-w", self.folder]
        self.process = subprocess.Popen(
            ["/usr/sbin/kamailio", "-DD", "-E", *files, "-m", "256", "-M", "32"], stdout=log, stderr=log
        )
        time.sleep(2)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def log(self):
        return (self.folder / "kamailio.log").read_text(errors="replace")[-1500:]

    def registered(self, count):
        """Registers `count` phones, sixty-four at a time; how many were answered with 200."""
        good = sent = pending = 0
        while sent < count or pending:
            while sent < count and pending < 64:
                self.phones.sendto(self.register(sent), ("127.0.0.1", self.port))
                sent, pending = sent + 1, pending + 1
            try:
                good += self.phones.recv(4096).startswith(b"SIP/2.0 200")
            except TimeoutError:
                break
            pending -= 1
        return good

    def register(self, number):
        port = self.phones.getsockname()[1]
        group = number % self.accounts
        user, realm = f"user{number}", f"realm{group}.example.com"
        return (
            f"REGISTER sip:{realm} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number}\r\n"
            f"From: <sip:{user}@{realm}>;tag={number}\r\nTo: <sip:{user}@{realm}>\r\n"
            f"Call-ID: call-{number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: 3600\r\n"
            f"X-Token: {number:032x}@{tables.account(group)}\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
        ).encode()
