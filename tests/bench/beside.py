"""Whether anybody notices usrlocd: the same load with and without it, by turns, and the medians of both."""

import shutil
import tempfile
import time
from pathlib import Path

import tables
from registrar import Phones, Registrar
from usrlocd import Usrlocd

PHONES = 2000


def median(values):
    return sorted(values)[len(values) // 2]


def part(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def turns(rounds):
    """Without and with usrlocd, by turns; who comes first changes."""
    for round in range(rounds):
        first = bool(round % 2)
        yield first
        yield not first


def both(bench, name, sums, measures):
    """A line for each measure: with usrlocd, and as the goal without."""
    for what, unit, add in measures:
        without, beside = ([one[what] for one in sums[kind]] for kind in (False, True))
        if add:
            bench.say(name, f"{what}, sum of {len(beside)}", f"{sum(without)} without", sum(beside))
            continue
        bench.say(
            name, f"{what}, median of {len(beside)}", f"{median(without):.4g}{unit} without", median(beside), unit,
            median(without),
        )


def writer(bench, start_writer, ended, rows, journal, folder):
    """The writer of the other scenarios."""
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    own = Path(tempfile.mkdtemp(prefix="usrlocd-bench-"))
    disk = "tmpfs" if str(folder).startswith("/dev/shm") else "disk"
    name = f"writer beside usrlocd, {journal} {rows // 1000}k {disk}"
    print(f"{name}: fills the tables …", flush=True)
    file, accounts = str(where / "kamailio.sqlite"), max(rows // 100, 10)
    usrlocd = Usrlocd(bench.options.program, file, own)
    sums = {False: [], True: []}
    try:
        tables.fill(file, journal, rows, accounts)
        for beside in turns(bench.rounds):
            if beside:
                usrlocd.start()
                usrlocd.until(usrlocd.is_live, 600)
                usrlocd.rest()
            found = ended(start_writer(file, rows, accounts, 500, bench.turn, 0, 1, "--refresh-only"))
            sums[beside].append({
                "commits a second": found["rate"], "commit p50": found["p50"], "commit p99": found["p99"],
                "BUSY": found["busy"], "-wal": found["wal"],
            })
            if beside:
                usrlocd.stop()
        measures = [
            ("commits a second", "", False), ("commit p50", " ms", False), ("commit p99", " ms", False),
            ("BUSY", "", True),
        ]
        both(bench, name, sums, measures + ([("-wal", " B", False)] if journal == "WAL" else []))
    finally:
        usrlocd.end()
        shutil.rmtree(where)
        shutil.rmtree(own)


def turn(bench, mode, folder, beside):
    """What phones see of a Kamailio that begins with empty tables."""
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    kamailio = Registrar(where, mode, 1)
    usrlocd = Usrlocd(bench.options.program, kamailio.file, where)
    try:
        kamailio.start()
        if beside:
            usrlocd.start()
            usrlocd.until(usrlocd.is_live, 30)
        with Phones(kamailio.port) as phones:
            phones.register_all(PHONES)
            begin = time.monotonic()
            fast, took = phones.register_for(bench.turn, PHONES, 16)
            rate = fast / (time.monotonic() - begin)
            refused = len(took) - fast
            good, took = phones.register_paced(bench.turn, PHONES, 500 if mode == 2 else 100)
            refused += len(took) - good
        if not took:
            raise RuntimeError("no REGISTER was answered: " + kamailio.log()[-1500:])
        kamailio.stop()
        return {
            "REGISTERs answered a second": rate, "REGISTER p50": median(took) * 1e3,
            "REGISTER p99": part(took, 0.99) * 1e3, "REGISTERs refused": refused,
            "lock errors of Kamailio": kamailio.lock_errors(),
        }
    finally:
        usrlocd.end()
        kamailio.stop()
        shutil.rmtree(where)


def register(bench, mode, folder):
    """A real Kamailio."""
    name = f"Kamailio beside usrlocd, db_mode {mode}"
    sums = {False: [], True: []}
    for beside in turns(bench.rounds):
        sums[beside].append(turn(bench, mode, folder, beside))
    both(bench, name, sums, [
        ("REGISTERs answered a second", "", False), ("REGISTER p50", " ms", False), ("REGISTER p99", " ms", False),
        ("REGISTERs refused", "", True), ("lock errors of Kamailio", "", True),
    ])
