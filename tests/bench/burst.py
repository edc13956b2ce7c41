"""A real Kamailio in db_mode 2: its timer writes many registrations at once."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import tables
from usrlocd import Usrlocd

TIMER = 20
CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
disable_tcp=yes
listen=udp:127.0.0.1:{port}
{modules}
modparam("usrloc", "db_url", "sqlite:///{database}")
modparam("usrloc", "db_mode", 2)
modparam("usrloc", "use_domain", 1)
modparam("usrloc", "timer_interval", {timer})
modparam("usrloc", "xavp_contact", "ulattrs")
modparam("registrar", "max_expires", 7200)
request_route {{
    $xavp(ulattrs=>token) = $hdr(X-Token);
    save("location");
    exit;
}}
"""


def register(number, port):
    user, owner = f"user{number}", tables.account(number % 200)
    return (
        f"REGISTER sip:realm{number % 200}.example.com SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number}\r\n"
        f"From: <sip:{user}@realm{number % 200}.example.com>;tag={number}\r\n"
        f"To: <sip:{user}@realm{number % 200}.example.com>\r\nCall-ID: call-{number}\r\nCSeq: 1 REGISTER\r\n"
        f"Contact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: 3600\r\nX-Token: {number:032x}@{owner}\r\n"
        "Max-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def answered(phones, port, count):
    """Registers `count` phones, sixty-four at a time; how many were answered with 200."""
    good = sent = pending = 0
    while sent < count or pending:
        while sent < count and pending < 64:
            phones.sendto(register(sent, phones.getsockname()[1]), ("127.0.0.1", port))
            sent, pending = sent + 1, pending + 1
        try:
            good += phones.recv(4096).startswith(b"SIP/2.0 200")
        except TimeoutError:
            break
        pending -= 1
    return good


def last_written(file):
    def written(suffix):
        path = Path(file + suffix)
        return path.stat().st_mtime_ns if path.exists() else 0

    return max(written(""), written("-wal"))


def run(bench, count, folder):
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    phones = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phones.bind(("127.0.0.1", 0))
    phones.settimeout(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"burst of a Kamailio, {count // 1000}k"
    file = str(where / "kamailio.sqlite")
    tables.create(file, "WAL").close()
    modules = "\n".join(f'loadmodule "{it}.so"' for it in ("db_sqlite", "sl", "pv", "textops", "usrloc", "registrar"))
    config = where / "kamailio.cfg"
    config.write_text(CONFIG.format(port=port, modules=modules, database=file, timer=TIMER))
    (where / "run").mkdir()
    log = open(where / "kamailio.log", "wb")
    usrlocd = Usrlocd(bench.options.program, file, where)
    kamailio = subprocess.Popen(
        ["/usr/sbin/kamailio", "-DD", "-E", "-f", config, "-Y", where / "run", "-w", where, "-m", "256", "-M", "32"],
        stdout=log, stderr=log,
    )
    try:
        time.sleep(2)
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 30)
        begin = time.monotonic()
        good = answered(phones, port, count)
        bench.say(name, "REGISTERs answered a second", "", good / (time.monotonic() - begin))
        if good < count:
            bench.say(name, "REGISTERs without 200", "0", count - good)
        usrlocd.until(lambda: usrlocd.count() > 0, 2 * TIMER, 0.02)
        usrlocd.until(lambda: usrlocd.count() >= good, 120, 0.01)
        seen = time.time_ns()
        lag = (seen - last_written(file)) / 1e9
        bench.say(name, "all seen after the last commit", "1.5 s", max(lag, 0), " ms", 1.5, 1e3)
    except TimeoutError as error:
        print((where / "kamailio.log").read_text(errors="replace")[-1500:], error)
        bench.say(name, "rows never seen", "0", count - usrlocd.count())
    finally:
        for process in (usrlocd.process, kamailio):
            if process and process.poll() is None:
                process.terminate()
                process.wait(60)
        shutil.rmtree(where)
