"""What events cost: with the history, streams and a webhook against without any; then what reaches a reader and when,
many readers, and a full history.
"""

import contextlib
import http.server
import json
import random
import selectors
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import tables
from beside import median, part
from usrlocd import TOKEN, Usrlocd

ROWS_AN_ACCOUNT = 100
READERS = 64
FULL = 5_000_000
TARGET = "/v2/registrations?watch=true"
ON = "[history]\nkeep = \"30d\"\n"
OFF = "[history]\nenabled = false\n"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what a webhook sends."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def hook(server, folder):
    secret = Path(folder) / "hook.secret"
    secret.write_text("a secret of at least twenty-four bytes")
    secret.chmod(0o600)
    return (
        f'[[webhook]]\nname = "bench"\nurl = "http://127.0.0.1:{server.server_port}/"\n'
        f'secret_file = "{secret}"\nallow_private = true\nbatch = 100\n'
    )


def read(port, count, target):
    """A process of its own: reads `count` streams to their end. Of the first it says what came and when."""
    selector, first = selectors.DefaultSelector(), None
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", port))
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {TOKEN}\r\n\r\n".encode())
        stream.setblocking(False)
        first = first or stream
        selector.register(stream, selectors.EVENT_READ)
    pieces, sums, is_open = [], [0, 0], count
    print("open", flush=True)
    while is_open:
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 18)
            if not data:
                selector.unregister(key.fileobj)
                is_open -= 1
            elif key.fileobj is first:
                pieces.append((time.monotonic_ns(), data))
            sums[0] += len(data)
            sums[1] += data.count(b"\n{")
    for frame, at in frames(pieces):
        row = frame.get("registration") or {}
        print(json.dumps((frame["type"], frame.get("username"), row.get("call_id"), at, frame.get("cause"))))
    print(json.dumps(sums))


def frames(pieces):
    """The objects of a chunked stream of lines, each with the moment when it was whole."""
    raw, at, text = b"", 0, b""
    is_head = True
    for moment, data in pieces:
        raw += data
        if is_head:
            head, found, raw = raw.partition(b"\r\n\r\n")
            if not found:
                raw = head
                continue
            is_head = False
        while (end := raw.find(b"\r\n", at)) >= 0:
            size = int(raw[at:end], 16)
            if len(raw) < end + 4 + size:
                break
            text += raw[end + 2:end + 2 + size]
            at = end + 4 + size
        raw, at = raw[at:], 0
        *lines, text = text.split(b"\n")
        for line in lines:
            yield json.loads(line), moment


class Readers:
    """Streams that another process reads; `kinds` sums up what came to one of them."""

    def __init__(self, usrlocd, count=1, target=TARGET):
        command = [sys.executable, __file__, str(usrlocd.port), str(count), target]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def ended(self):
        """When usrlocd has ended: what came to the first, and how many bytes and events came to all."""
        *lines, sums = self.process.communicate()[0].splitlines()
        return [json.loads(line) for line in lines], json.loads(sums)


class Site:
    """Tables, and a usrlocd that is started over them again and again."""

    def __init__(self, bench, rows):
        self.bench, self.rows, self.accounts = bench, rows, max(rows // ROWS_AN_ACCOUNT, 10)
        self.where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=bench.options.disk))
        self.file = str(self.where / "kamailio.sqlite")
        self.usrlocd = None

    def start(self, more, keep=False):
        """A usrlocd with tables and a store that are new, unless those are to be kept."""
        if not keep:
            for path in [*self.where.glob("kamailio.sqlite*"), *self.where.glob("store/*")]:
                path.unlink()
            tables.fill(self.file, "WAL", self.rows, self.accounts)
        self.usrlocd = Usrlocd(self.bench.options.program, self.file, self.where)
        config = self.usrlocd.config.read_text()
        self.usrlocd.config.write_text(config + f"streams = {READERS}\nstreams_per_token = {READERS}\n" + more)
        begun = self.usrlocd.start()
        live = self.usrlocd.until(self.usrlocd.is_live, 600) - begun
        return self.usrlocd, live

    def end(self):
        if self.usrlocd:
            self.usrlocd.end()
        shutil.rmtree(self.where)


def run(bench, writer, probe):
    name = "events"
    site, server = Site(bench, bench.rows), receiver()
    try:
        with_and_without(bench, name, site, server, writer, probe)
        nothing_is_lost(bench, name, site, writer)
        many_readers(bench, name, site, writer)
        full_history(bench, name, site)
    finally:
        site.end()
        server.shutdown()


def with_and_without(bench, name, site, server, writer, probe):
    """The same load with everything on and off, in turns."""
    seconds = bench.options.seconds
    latencies, cpu = {True: [], False: []}, {True: [], False: []}
    for turn in range(2 * (1 if bench.options.quick else 3)):
        is_on = turn % 2 == 1
        more = ON + hook(server, site.where) if is_on else OFF
        usrlocd, _ = site.start(more)
        usrlocd.rest()
        readers = Readers(usrlocd) if is_on else None
        process = writer(site.file, site.rows, site.accounts, 500, seconds, seconds, 1 / bench.options.marks)
        time.sleep(1.5)
        before, begin = usrlocd.cpu_ticks(), time.monotonic()
        time.sleep(max(seconds - 2.0, 1))
        cpu[is_on].append((usrlocd.cpu_ticks() - before) / (time.monotonic() - begin))
        found, lost, _ = probe(usrlocd, process)
        bench.say(name, f"marked writes never seen, {'on' if is_on else 'off'}", "0", lost)
        latencies[is_on] += sum(found.values(), [])
        usrlocd.stop()
        if readers:
            readers.ended()
    for share in (0.5, 0.99):
        on, off = part(latencies[True], share), part(latencies[False], share)
        title = f"p{share * 100:.0f} of freshness at 500/s, {off * 1e3:.1f} ms without"
        bench.say(name, title, "1.15 x", on, " ms", 1.15 * off, 1e3)
    on, off = median(cpu[True]), median(cpu[False])
    bench.say(name, f"CPU that it takes at 500/s, beside {off * 100:.1f} %", "1.5 points", on - off, " points", 0.015, 100)


def nothing_is_lost(bench, name, site, writer):
    """Every operation is marked: each must arrive at a reader, once."""
    seconds = 15 if bench.options.quick else 60
    for rate, title in ((500, f"{name} 500/s"), (2000, f"{name} 2000/s")):
        usrlocd, _ = site.start(ON)
        usrlocd.rest()
        readers = Readers(usrlocd)
        process = writer(site.file, site.rows, site.accounts, rate, 0, seconds, 0)
        expected, sums = operations(process)
        settle(usrlocd)
        usrlocd.stop()
        came, _ = readers.ended()
        arrived = {}
        for kind, user, call_id, at, _ in came:
            key = (user, call_id) if kind in ("registered", "moved", "changed") else (user, kind)
            arrived.setdefault(key, []).append(at)
        late, missing = [], 0
        for kind, user, call_id, committed in expected:
            key = (user, "terminated") if kind == "delete" else (user, call_id)
            if found := arrived.get(key):
                late.append(max(found[0] - committed, 0) / 1e9)
            else:
                missing += 1
        ends = sum(len(at) - 1 for key, at in arrived.items() if key[1] == "terminated")
        gaps = sum(kind == "gap" for kind, *_ in came)
        bench.say(title, f"operations that no event tells, of {len(expected)}", "0", missing)
        bench.say(title, "phones that were told to be gone twice", "0", ends)
        bench.say(title, "gaps", "0", gaps)
        bench.say(title, "writer's rate", "", sums["rate"], "/s")
        # A commit at a time is the promise for a load that leaves the processor some rest.
        limits = (0.005, 0.015) if rate == 500 else (None, None)
        for share, limit in zip((0.5, 0.99), limits):
            goal = f"{limit * 1e3:.0f} ms" if limit else ""
            bench.say(title, f"commit to event at a reader, p{share * 100:.0f}", goal, part(late, share), " ms", limit, 1e3)


def operations(process):
    """What a writer did that marks everything: kind, user, Call-ID and moment of each commit; and its sums."""
    begun, done, sums = {}, [], None
    for line in process.stdout:
        word, rest = line.decode().split(None, 1)
        if word == "B":
            mark, kind, _, user, call_id = rest.split()
            begun[mark] = (kind, user, call_id)
        elif word == "C":
            mark, committed = rest.split()
            if committed != "0":
                done.append((*begun.pop(mark), int(committed)))
        else:
            sums = json.loads(rest)
    process.wait()
    return done, sums


def settle(usrlocd):
    """Waits until usrlocd has told all."""
    newest = lambda: json.loads(usrlocd.get("/v2/history?page_size=1"))["data"]
    before, end = None, time.monotonic() + 30
    while (now := newest()) != before and time.monotonic() < end:
        before = now
        time.sleep(0.5)


def many_readers(bench, name, site, writer):
    """The CPU of usrlocd at the same load, with all readers and with none, in turns."""
    seconds = bench.options.seconds
    cpu, events = {True: [], False: []}, 0
    usrlocd, _ = site.start(ON)
    usrlocd.rest()
    for turn in range(2 * (1 if bench.options.quick else 3)):
        is_read = turn % 2 == 1
        readers = Readers(usrlocd, READERS) if is_read else None
        # Each operation that is marked is an event, and three statements.
        process = writer(site.file, site.rows, site.accounts, 600, 0, seconds, 0, "--refresh-only")
        drain = threading.Thread(target=operations, args=(process,))
        drain.start()
        time.sleep(1.5)
        before, begin = usrlocd.cpu_ticks(), time.monotonic()
        time.sleep(max(seconds - 3, 1))
        cpu[is_read].append((usrlocd.cpu_ticks() - before) / (time.monotonic() - begin))
        drain.join()
        if readers:
            readers.process.kill()
            readers.process.communicate()
    usrlocd.stop()
    on, off = median(cpu[True]), median(cpu[False])
    title = f"CPU of {READERS} readers at 200 events/s, beside {off * 100:.1f} %"
    bench.say(name, title, "10 %", on - off, " %", 0.1, 100)


def full_history(bench, name, site):
    """A start and questions with millions of events."""
    example = Path(bench.options.program).parent / "examples/history"
    events = 300_000 if bench.options.quick else FULL
    usrlocd, _ = site.start(ON)
    usrlocd.until(usrlocd.has_stored_all, 600, 0.1)
    usrlocd.stop()
    made = site.where / "made"
    made.mkdir()
    subprocess.run([example, made, str(events)], stdout=subprocess.DEVNULL, check=True)
    shift(made / "history.db")
    times = {True: [], False: []}
    for turn in range(2 * (2 if bench.options.quick else 5)):
        is_full = turn % 2 == 1
        for path in site.where.glob("store/history.db*"):
            path.unlink()
        if is_full:
            shutil.copy(made / "history.db", site.where / "store/history.db")
        usrlocd, live = site.start(ON, keep=True)
        times[is_full].append(live)
        if turn + 1 < 2 * (2 if bench.options.quick else 5):
            usrlocd.stop()
    without = median(times[False])
    title = f"start until live with {events:,} events, {without * 1e3:.0f} ms without"
    bench.say(name, title, "1.05 x", median(times[True]), " ms", 1.05 * without, 1e3)
    some = json.loads(usrlocd.get("/v2/history?page_size=1000"))["data"]
    some = [one for one in some if one.get("username") and one.get("account_id")]
    some = random.sample(some, min(200, len(some)))
    for what, path, limit in (("last 100 of a user", "history", 0.005), ("why", "why", 0.05)):
        took = []
        for one in some:
            begin = time.monotonic()
            usrlocd.get(f"/v2/accounts/{one['account_id']}/registrations/{one['username']}/{path}")
            took.append(time.monotonic() - begin)
        for share in (0.5, 0.99):
            goal = f"{limit * 1e3:.0f} ms"
            bench.say(name, f"{what}, p{share * 100:.0f} of {len(took)}", goal, part(took, share), " ms", limit, 1e3)
    usrlocd.stop()


def shift(file):
    """Sets a history's clock so that it ends now."""
    with contextlib.closing(sqlite3.connect(file)) as history:
        newest = history.execute("SELECT max(at) FROM moment").fetchone()[0]
        history.execute("UPDATE moment SET at = at + ?", (int(time.time() * 1000) - newest - 60_000,))
        history.commit()
        history.execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    read(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
