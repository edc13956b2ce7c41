"""A real Kamailio in db_mode 2: its timer writes many registrations at once."""

import shutil
import tempfile
import time
from pathlib import Path

import tables
from kamailio import Kamailio
from usrlocd import Usrlocd

TIMER = 20


def last_written(file):
    def written(suffix):
        path = Path(file + suffix)
        return path.stat().st_mtime_ns if path.exists() else 0

    return max(written(""), written("-wal"))


def run(bench, count, folder):
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    name = f"burst of a Kamailio, {count // 1000}k"
    file = str(where / "kamailio.sqlite")
    tables.create(file, "WAL").close()
    usrlocd = Usrlocd(bench.options.program, file, where)
    kamailio = Kamailio(where, file, timer=TIMER, accounts=200, children=2)
    try:
        kamailio.start()
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 30)
        begin = time.monotonic()
        good = kamailio.registered(count)
        bench.say(name, "REGISTERs answered a second", "", good / (time.monotonic() - begin))
        if good < count:
            bench.say(name, "REGISTERs without 200", "0", count - good)
        usrlocd.until(lambda: usrlocd.count() > 0, 2 * TIMER, 0.02)
        usrlocd.until(lambda: usrlocd.count() >= good, 120, 0.01)
        seen = time.time_ns()
        lag = (seen - last_written(file)) / 1e9
        bench.say(name, "all seen after the last commit", "1.5 s", max(lag, 0), " ms", 1.5, 1e3)
    except TimeoutError as error:
        print(kamailio.log(), error)
        bench.say(name, "rows never seen", "0", count - usrlocd.count())
    finally:
        usrlocd.end()
        kamailio.stop()
        shutil.rmtree(where)
