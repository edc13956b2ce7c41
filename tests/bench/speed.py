"""How many requests a second usrlocd answers, beside a bare axum server that answers the same bytes from memory.

Both are asked by wrk over 32 kept connections, one after the other in rounds, while a writer changes the tables; what
counts is the ratio within the run. Then one long list, in the ways in which it can be asked for and read: its first
byte, and what memory it takes while it is read. Before that, what memory registrations take with all that Kazoo
writes about each, found in the tables (cold) or in the store (warm).
"""

import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tables
from usrlocd import TOKEN, Usrlocd

HERE = Path(__file__).parent
CONNECTIONS = 32
ROWS, ACCOUNTS = 100_000, 1_000
CHANGES = 200
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
# What is asked for, and how much of the bare server's requests a second is the goal.
QUESTIONS = {
    "count": (tables.account(7), "/count", 0.6),
    "list of 10": (tables.TEN, "", 0.5),
    "list of 1,000": (tables.THOUSAND, "", 0.5),
}
SLOWER = 3
FIRST_BYTE, GROWTH, RESIDENT = 0.05, 20e6, 200e6
# How much more memory the second half of the rows may take than the first.
LINEAR = 1.1
# The ways to a long list: its query, its headers, and the pause in seconds after each piece of 64 KiB.
LONG = {
    "": ("", {}, 0),
    "read slowly": ("", {}, 0.002),
    "gzip": ("", {"Accept-Encoding": "gzip"}, 0),
    "filtered": ("?filter_not_user_agent=x&has_value=username", {}, 0),
    "CSV": ("", {"Accept": "text/csv"}, 0),
    "indented": ("?pretty_print=true", {}, 0),
}


class Bare:
    """The bare server, with an answer of usrlocd's for each question."""

    def __init__(self, program, usrlocd, folder):
        arguments = []
        for name, (owner, path, _) in QUESTIONS.items():
            file = folder / short(name)
            file.write_bytes(usrlocd.get(f"/v2/accounts/{owner}/registrations{path}"))
            arguments.append(f"{short(name)}={file}")
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())


def short(name):
    return re.sub(r"\W", "", name)


def wrk(url, seconds):
    """Requests a second and the 99th percentile in seconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"X-Auth-Token: {TOKEN}", url]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    if bad := re.search(r"Non-2xx.*|Socket errors.*", said):
        raise RuntimeError(f"{url}: {bad[0]}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), float(number) * UNITS[unit]


def median(values):
    return sorted(values)[len(values) // 2]


def rates(bench, name, usrlocd, bare):
    rounds, seconds = (3, 2) if bench.options.quick else (7, 4)
    for question, (owner, path, goal) in QUESTIONS.items():
        ours = f"http://127.0.0.1:{usrlocd.port}/v2/accounts/{owner}/registrations{path}"
        theirs = f"http://127.0.0.1:{bare.port}/{short(question)}"
        measured = []
        for turn in range(rounds):
            pair = [wrk(url, seconds) for url in ((theirs, ours) if turn % 2 else (ours, theirs))]
            measured.append(pair[::-1] if turn % 2 else pair)
        our_rate, our_p99, their_rate, their_p99 = (
            median([pair[who][what] for pair in measured]) for who in (0, 1) for what in (0, 1)
        )
        share = median([pair[0][0] / pair[1][0] for pair in measured])
        slower = median([pair[0][1] / pair[1][1] for pair in measured])
        bench.say(name, f"{question}: requests a second", f"{their_rate:.0f} bare", our_rate)
        bench.say(name, f"{question}: part of the bare server's", f">= {goal * 100:.0f} %", share, " %", goal, 100)
        bench.say(name, f"{question}: p99", f"{their_p99 * 1e3:.2f} ms bare", our_p99, " ms", None, 1e3)
        bench.say(name, f"{question}: p99 as part of the bare server's", f"<= {SLOWER}", slower, "", SLOWER)


def long_list(bench, name, usrlocd):
    """The list of all accounts."""
    for way, (query, headers, pause) in LONG.items():
        what = "list of 100,000" + (f", {way}" if way else "")
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        head = (
            f"GET /v2/registrations{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Auth-Token: {TOKEN}\r\n{lines}\r\n"
        ).encode()
        read = [read_long(usrlocd, head, pause) for _ in range(1 if pause else 3)]
        sizes, firsts, growths = zip(*read)
        bench.say(name, f"{what}: size", "", sizes[0], " MB", None, 1e-6)
        bench.say(name, f"{what}: first byte", "50 ms", median(firsts), " ms", FIRST_BYTE, 1e3)
        bench.say(name, f"{what}: memory grows by", "20 MB", max(growths), " MB", GROWTH, 1e-6)


def read_long(usrlocd, head, pause):
    """Its size, the seconds until its first byte, and by how much the memory grew meanwhile."""
    before = usrlocd.memory()
    # The highest memory is counted anew from here.
    Path(f"/proc/{usrlocd.process.pid}/clear_refs").write_text("5")
    with socket.socket() as connection:
        if pause:
            # Little may wait on the way, so that usrlocd waits for the reader.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", usrlocd.port))
        begin = time.monotonic()
        connection.sendall(head)
        start = connection.recv(16)
        first, size = time.monotonic() - begin, len(start)
        if not start.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head}: {start}")
        while piece := connection.recv(1 << 16):
            size += len(piece)
            time.sleep(pause)
    return size, first, usrlocd.memory("VmHWM") - before


def memory(bench, name, folder):
    """What registrations take: at no row, half of them and all, found in the tables and found in the store."""
    taken = {}
    for rows in (0, ROWS // 2, ROWS):
        where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
        file = str(where / "kamailio.sqlite")
        usrlocd = Usrlocd(bench.options.program, file, where)
        try:
            tables.fill(file, "WAL", rows, ACCOUNTS)
            for start in ("cold", "warm"):
                usrlocd.start()
                usrlocd.until(usrlocd.is_live, 600)
                usrlocd.rest()
                if usrlocd.count() != rows:
                    raise RuntimeError(f"{usrlocd.count()} registrations instead of {rows}")
                taken[start, rows] = usrlocd.memory()
                if rows:
                    what = f"resident with {rows:,} registrations, {start}"
                    limit = RESIDENT * rows / ROWS
                    bench.say(name, what, f"{limit / 1e6:.0f} MB", taken[start, rows], " MB", limit, 1e-6)
                usrlocd.stop()
        finally:
            usrlocd.end()
            shutil.rmtree(where)
    for start in ("cold", "warm"):
        none, half, all_rows = (taken[start, rows] for rows in (0, ROWS // 2, ROWS))
        bench.say(name, f"resident for each registration, {start}", "", (all_rows - none) / ROWS, " B")
        linear = (all_rows - half) / (half - none)
        bench.say(name, f"second half of the registrations to the first, {start}", f"<= {LINEAR}", linear, "", LINEAR)


def run(bench, folder):
    bare_program = Path(bench.options.program).parent / "examples" / "bare"
    for program in (bare_program, shutil.which("wrk")):
        if not program or not Path(program).exists():
            sys.exit("make bench needs wrk and the example `bare`: make deps; cargo build --release --example bare")
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    file, name = str(where / "kamailio.sqlite"), f"HTTP, {CONNECTIONS} connections"
    usrlocd, others = Usrlocd(bench.options.program, file, where), []
    # The bare server's, so that neither takes the other's time.
    usrlocd.nice = "0"
    print(f"{name}: fills the tables …", flush=True)
    try:
        tables.SIZED = True
        memory(bench, name, folder)
        tables.fill(file, "WAL", ROWS, ACCOUNTS)
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 600)
        usrlocd.rest()
        bare = Bare(bare_program, usrlocd, where)
        # A change is a row and its two attributes: four statements.
        arguments = {"rows": ROWS, "accounts": ACCOUNTS, "rate": 4 * CHANGES, "quiet": 36000, "marked": 0,
                     "mark-every": 1, "seed": random.randrange(1 << 30)}
        flags = [f"--{key}={value}" for key, value in arguments.items()]
        command = [sys.executable, HERE / "writer.py", file, *flags, "--sized"]
        others = [bare.process, subprocess.Popen(command, stdout=subprocess.DEVNULL)]
        rates(bench, name, usrlocd, bare)
        long_list(bench, name, usrlocd)
        bench.say(name, "resident in the end", "200 MB", usrlocd.memory(), " MB", RESIDENT, 1e-6)
        if others[1].poll() is not None:
            raise RuntimeError("the writer ended before its time")
    finally:
        tables.SIZED = False
        usrlocd.end()
        for process in others:
            process.terminate()
            process.wait(60)
        shutil.rmtree(where)
