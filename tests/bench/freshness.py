"""How fresh usrlocd's answers are, how fast, and what that costs: `make bench`, shorter with `make bench QUICK=1`.

A writer of its own process writes as Kamailio's db_sqlite does. The probe asks usrlocd over HTTP, every millisecond
while a marked write is on its way, for the user that it is about; latency is answer seen − commit returned. What
usrlocd costs is measured while nobody asks.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import beside
import burst
import events
import fleet
import flush
import flushes
import history
import page
import search
import servers
import speed
import tables
from beside import median, part
from usrlocd import Usrlocd

HERE = Path(__file__).parent
LOST_AFTER = 10
MEMORY = "/dev/shm"


class Bench:
    def __init__(self, options):
        self.options, self.lines = options, []
        # Of comparisons with and without usrlocd: how often, and for how many seconds.
        self.rounds, self.turn = (1, 4) if options.quick else (5, 8)
        self.rows, self.usage = options.rows, None

    def say(self, scenario, measured, goal, figure, unit="", limit=None, factor=1):
        """A line of the table; `limit` is what the goal allows."""
        ratio = f"{figure / limit:.2f}" if limit else ""
        self.lines.append((scenario, measured, goal, f"{figure * factor:.4g}{unit}", ratio))
        print("   ", *self.lines[-1], sep="  ", flush=True)

    def table(self):
        head = ("scenario", "measured", "goal", "figure", "figure/goal")
        rows = [head, tuple("-" * len(it) for it in head), *self.lines]
        widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
        for row in rows:
            print("| " + " | ".join(it.ljust(width) for it, width in zip(row, widths)) + " |")


def writer(file, rows, accounts, rate, quiet, marked, every, *more):
    arguments = {
        "rows": rows, "accounts": accounts, "rate": rate, "quiet": quiet, "marked": marked, "mark-every": every,
        "seed": random.randrange(1 << 30),
    }
    flags = [f"--{name}={value}" for name, value in arguments.items()] + ["--sized"] * tables.SIZED
    return subprocess.Popen([sys.executable, HERE / "writer.py", file, *flags, *more], stdout=subprocess.PIPE)


def ended(process):
    """The sums of a writer that nobody watches."""
    output, _ = process.communicate()
    return json.loads(output.splitlines()[-1].split(None, 1)[1])


def probe(usrlocd, process):
    """Latencies in seconds by kind of operation, the marks never seen, and the sums of the writer."""
    os.set_blocking(process.stdout.fileno(), False)
    waiting, commits, seen, kinds = {}, {}, {}, {}
    latencies, lost, text, sums = {}, 0, b"", None
    while sums is None or waiting:
        began = time.monotonic_ns()
        text += process.stdout.read() or b""
        *lines, text = text.split(b"\n")
        for line in lines:
            word, *fields = line.split(None, 5 if line[:1] == b"B" else 2 if line[:1] == b"C" else 1)
            if word == b"B":
                mark, kind, owner, user, call_id = fields
                path = f"/v2/accounts/{owner.decode()}/registrations/{user.decode()}"
                waiting[mark], kinds[mark] = (path, b'"' + call_id + b'"', began), kind.decode()
            elif word == b"C":
                commits[fields[0]] = int(fields[1])
                if fields[1] == b"0":  # the writer itself failed
                    waiting.pop(fields[0], None)
            else:
                sums = json.loads(fields[0])
        for mark, (path, needle, since) in list(waiting.items()):
            status, body = usrlocd.request(path)
            now = time.monotonic_ns()
            there = needle in body
            if there != (kinds[mark] == "delete") and status in (200, 404):
                seen[mark] = now
                del waiting[mark]
            elif now - since > LOST_AFTER * 1e9:
                lost += 1
                del waiting[mark]
        time.sleep(max(0.001 - (time.monotonic_ns() - began) / 1e9, 0.0001) if waiting else 0.0005)
    for mark, moment in seen.items():
        if commits.get(mark):
            latencies.setdefault(kinds[mark], []).append(max(moment - commits[mark], 0) / 1e9)
    process.wait()
    return latencies, lost, sums


def compare(bench, name, usrlocd, file, accounts, sample):
    """The API must say what SQLite reads."""
    wanted = {tables.account(number) for number in random.sample(range(accounts), min(sample, accounts))}
    count, rows = tables.truth(file, wanted)
    try:
        usrlocd.until(lambda: usrlocd.count() == count, 15, 0.05)
    except TimeoutError:
        pass
    found, answer = tables.shown(usrlocd, wanted)
    differing = abs(count - found) + len(rows ^ answer)
    bench.say(name, f"rows that differ from sqlite3 ({len(rows)} compared)", "0", differing)


def start(bench, name, usrlocd, file, rows):
    times = []
    for _ in range(3):
        begin = time.monotonic()
        both = "select * from location; select * from location_attrs"
        subprocess.run(["sqlite3", file, both], stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - begin)
    scan = median(times)
    cold = usrlocd.start()
    cold = usrlocd.until(usrlocd.is_live, 600) - cold
    bench.say(name, "cold start until live", f"2.5 x {scan * 1e3:.0f} ms", cold, " ms", 2.5 * scan, 1e3)
    bench.say(name, "memory after cold start, a row", "", usrlocd.memory() / rows, " B")
    bench.say(name, "highest memory of the cold start, a row", "", usrlocd.memory("VmHWM") / rows, " B")
    began = time.monotonic()
    usrlocd.stop()
    bench.say(name, "stop right after the cold start", "5 s", time.monotonic() - began, " s", 5)
    usrlocd.start()
    live = usrlocd.until(usrlocd.is_live, 600)
    stored = usrlocd.until(usrlocd.has_stored_all, 600, 0.1)
    bench.say(name, "from live until all is stored", "", stored - live, " s")
    usrlocd.stop()
    warm = usrlocd.start()
    answers = usrlocd.until(lambda: usrlocd.request("/livez")[0] == 200, 600, 0.001) - warm
    serves = usrlocd.until(lambda: usrlocd.serves(tables.account(0)), 600, 0.001) - warm
    serves_all = usrlocd.until(usrlocd.serves_all, 600, 0.001) - warm
    live = usrlocd.until(usrlocd.is_live, 600) - warm
    bench.say(name, "warm start until /livez answers", "", answers, " ms", None, 1e3)
    bench.say(name, "warm start until it serves an account", "50 ms", serves, " ms", 0.05, 1e3)
    bench.say(name, "warm start until it serves all of them", "", serves_all, " ms", None, 1e3)
    bench.say(name, "warm start until live", f"1.5 x {scan * 1e3:.0f} ms", live, " ms", 1.5 * scan, 1e3)
    bench.say(name, "memory after warm start, a row", "", usrlocd.memory() / rows, " B")
    bench.say(name, "highest memory of the warm start, a row", "", usrlocd.memory("VmHWM") / rows, " B")
    bench.say(name, "CPU of the warm start", f"{scan:.3g} s sqlite3", usrlocd.cpu_ticks(), " s")


def idle(bench, name, usrlocd, file, rows, accounts):
    """Nobody writes and nobody asks; then a write now and then."""
    seconds = 5 if bench.options.quick else 20
    time.sleep(2.5)
    before = usrlocd.cpu(), usrlocd.cpu_ticks()
    time.sleep(seconds)
    used = max(usrlocd.cpu() - before[0], usrlocd.cpu_ticks() - before[1] - 0.01)
    bench.say(name, "CPU while idle", "0.1 %", used / seconds, " %", 0.001, 100)
    # A refresh is three writes: one every two seconds.
    marked = 20 if bench.options.quick else 84
    process = writer(file, rows, accounts, 1.5, 0, marked, 0.1, "--refresh-only")
    latencies, lost, _ = probe(usrlocd, process)
    every = sum(latencies.values(), [])
    bench.say(name, f"first change after idleness, p50 of {len(every)}", "", part(every, 0.5), " ms", None, 1e3)
    bench.say(name, "first change after idleness, slowest", "25 ms", max(every), " ms", 0.025, 1e3)
    bench.say(name, "first changes never seen", "0", lost)


def load(bench, name, usrlocd, file, rows, accounts, rate, goals, baseline):
    seconds = bench.options.seconds
    process = writer(file, rows, accounts, rate, seconds, seconds, 1 / bench.options.marks)
    time.sleep(1.5)
    # Threads that started it may end meanwhile.
    cpu, begin = usrlocd.cpu_ticks(), time.monotonic()
    time.sleep(max(seconds - 2.0, 1))
    cpu = (usrlocd.cpu_ticks() - cpu) / (time.monotonic() - begin)
    latencies, lost, sums = probe(usrlocd, process)
    every = sum(latencies.values(), [])
    p50, p99, limit = goals
    bench.say(name, f"p50 of {len(every)}", f"{p50 * 1e3:.0f} ms" if p50 else "", part(every, 0.5), " ms", p50, 1e3)
    bench.say(name, "p99", f"{p99 * 1e3:.0f} ms", part(every, 0.99), " ms", p99, 1e3)
    bench.say(name, "slowest", "", max(every), " ms", None, 1e3)
    for kind, some in sorted(latencies.items()):
        bench.say(name, f"p99 of {len(some)} {kind}s", "", part(some, 0.99), " ms", None, 1e3)
    bench.say(name, "marked writes never seen", "0", lost)
    bench.say(name, "CPU of a core, store included", f"{limit * 100:.3g} %" if limit else "", cpu, " %", limit, 100)
    for what, unit in (("rate", "/s"), ("busy", ""), ("p99", " ms"), ("wal", " B")):
        bench.say(name, f"writer's {what}", f"{baseline[what]:.4g}{unit} without", sums[what], unit)
    return cpu


def scenario(bench, rows, rates, journal, folder, with_start=False, with_idle=False, limits=None):
    accounts = max(rows // 100, 10)
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    own = Path(tempfile.mkdtemp(prefix="usrlocd-bench-"))
    disk = "tmpfs" if str(folder).startswith("/dev/shm") else "disk"
    name = f"{journal} {rows // 1000}k {disk}"
    file = str(where / "kamailio.sqlite")
    print(f"{name}: fills the tables …", flush=True)
    usrlocd = Usrlocd(bench.options.program, file, own)
    used = None
    try:
        tables.fill(file, journal, rows, accounts)
        quiet = bench.options.seconds / 2
        baselines = {}
        for rate in rates:
            # The seed of numbers is the same, so the rows are made anew for each run.
            baselines[rate] = ended(writer(file, rows, accounts, rate, quiet, 0, 1, "--refresh-only"))
        if with_start:
            start(bench, name, usrlocd, file, rows)
        else:
            begun = usrlocd.start()
            usrlocd.until(usrlocd.is_live, 600)
            bench.say(name, "start until live", "", time.monotonic() - begun, " ms", None, 1e3)
            usrlocd.rest()
        if with_idle:
            idle(bench, name, usrlocd, file, rows, accounts)
        for rate in rates:
            p50, p99, limit = limits[rate]
            if rate != rates[0]:
                usrlocd.stop()
                os.remove(file)
                tables.fill(file, journal, rows, accounts)
                usrlocd.start()
                usrlocd.until(usrlocd.is_live, 600)
                usrlocd.rest()
            title = f"{name} {rate}/s"
            used = load(bench, title, usrlocd, file, rows, accounts, rate, (p50, p99, limit), baselines[rate])
            compare(bench, title, usrlocd, file, accounts, 20 if rows > 200_000 else 1000)
        usrlocd.stop()
    finally:
        usrlocd.end()
        shutil.rmtree(where)
        shutil.rmtree(own)
    return used


def wal(bench):
    limits = {500: (0.008, 0.020, 0.08)}
    bench.usage = scenario(bench, bench.rows, [500], "WAL", bench.options.disk, True, True, limits)


def fast(bench):
    scenario(bench, bench.rows, [2000], "WAL", bench.options.disk, limits={2000: (None, 0.030, None)})


def idleness(bench):
    scenario(bench, bench.rows, [], "WAL", bench.options.disk, False, True)


def rollback(bench):
    for folder in (MEMORY, bench.options.disk):
        if folder == MEMORY or not bench.options.quick:
            scenario(bench, bench.rows, [500], "DELETE", folder, limits={500: (None, 0.120, None)})


def kamailio_burst(bench):
    burst.run(bench, 5_000 if bench.options.quick else 20_000, MEMORY)


def registrations(bench):
    for mode in (2,) if bench.options.quick else (2, 1):
        beside.register(bench, mode, MEMORY if mode == 2 else bench.options.disk)


def writers(bench):
    kinds = [("WAL", bench.options.disk), ("DELETE", MEMORY)]
    for journal, folder in kinds[:1] if bench.options.quick else kinds:
        beside.writer(bench, writer, ended, bench.rows, journal, folder)


def http(bench):
    speed.run(bench, bench.options.disk)


def searches(bench):
    for rows in (bench.rows,) if bench.options.quick else (bench.rows, 10 * bench.rows):
        search.run(bench, bench.options.disk, rows)


def account_flush(bench):
    flush.run(bench, MEMORY)


def harmless_flushes(bench):
    flushes.run(bench, bench.options.disk)


def of_events(bench):
    events.run(bench, writer, probe)


def operators_page(bench):
    page.run(bench)


def history_file(bench):
    history.run(bench, bench.options.disk, 1_000_000 if bench.options.quick else 10_000_000)


def million(bench):
    tables.SIZED = True
    limits = {500: (None, 0.030, 2 * bench.usage if bench.usage else None)}
    scenario(bench, 10 * bench.rows, [500], "WAL", bench.options.disk, True, False, limits)
    tables.SIZED = False
    plain_rows(bench, 10 * bench.rows)


def plain_rows(bench, rows):
    """What a row takes of memory that has no attributes; its account is then its domain."""
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=bench.options.disk))
    file = str(where / "kamailio.sqlite")
    name = f"WAL {rows // 1000}k plain rows"
    print(f"{name}: fills the tables …", flush=True)
    usrlocd = Usrlocd(bench.options.program, file, where)
    try:
        tables.fill(file, "WAL", rows, max(rows // 100, 10), attributes=False)
        for which in ("cold", "warm"):
            begun = usrlocd.start()
            live = usrlocd.until(usrlocd.is_live, 600) - begun
            bench.say(name, f"{which} start until live", "", live, " ms", None, 1e3)
            bench.say(name, f"memory after {which} start, a row", "1.1 kB", usrlocd.memory() / rows, " B", 1100)
            usrlocd.until(usrlocd.has_stored_all, 600, 0.1)
            usrlocd.stop()
    finally:
        usrlocd.end()
        shutil.rmtree(where)


# Each scenario by its name, and whether it belongs to the quick run and to the full one.
SCENARIOS = {
    "wal": (wal, True, True),
    "fast": (fast, False, True),
    "idle": (idleness, False, False),
    "rollback": (rollback, True, True),
    "burst": (kamailio_burst, True, True),
    "register": (registrations, True, True),
    "writer": (writers, True, True),
    "http": (http, True, True),
    "search": (searches, True, True),
    "flush": (account_flush, True, True),
    "flushes": (harmless_flushes, False, False),
    "history": (history_file, False, True),
    "events": (of_events, False, True),
    "page": (operators_page, False, True),
    "million": (million, False, True),
    "servers": (servers.run, False, True),
    "fleet": (fleet.run, False, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="the usrlocd to measure, a release build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, help="of each half of a run: without questions, with them")
    parser.add_argument("--marks", type=float, default=40, help="marked writes a second")
    parser.add_argument("--only", default="", help="these scenarios: " + ",".join(SCENARIOS))
    parser.add_argument("--rows", type=int, default=100_000, help="of the tables; the million has ten times as many")
    parser.add_argument("--disk", default=tempfile.gettempdir(), help="a folder on a disk")
    options = parser.parse_args()
    options.seconds = options.seconds or (8 if options.quick else 30)
    wanted = options.only.split(",") if options.only else [
        name for name, (_, quick, full) in SCENARIOS.items() if (quick if options.quick else full)
    ]
    if unknown := set(wanted) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    bench, failed, begin = Bench(options), [], time.monotonic()
    for name in wanted:
        try:
            SCENARIOS[name][0](bench)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    print()
    bench.table()
    print(f"\nIt took {(time.monotonic() - begin) / 60:.1f} minutes.")
    if failed:
        sys.exit("These scenarios failed, see above: " + ", ".join(failed))


if __name__ == "__main__":
    main()
