"""A real Kamailio in db_mode 2: its timer writes many registrations at once."""

import shutil
import tempfile
import time
from pathlib import Path

from registrar import Phones, Registrar
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
    kamailio = Registrar(where, 2, TIMER)
    usrlocd = Usrlocd(bench.options.program, kamailio.file, where)
    try:
        kamailio.start()
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 30)
        with Phones(kamailio.port) as phones:
            begin = time.monotonic()
            good, _ = phones.register_all(count)
            bench.say(name, "REGISTERs answered a second", "", good / (time.monotonic() - begin))
        bench.say(name, "REGISTERs without 200", "0", count - good)
        usrlocd.until(lambda: usrlocd.count() > 1, 2 * TIMER, 0.02)
        usrlocd.until(lambda: usrlocd.count() >= good, 120, 0.01)
        seen = time.time_ns()
        lag = (seen - last_written(kamailio.file)) / 1e9
        bench.say(name, "all seen after the last commit", "1.5 s", max(lag, 0), " ms", 1.5, 1e3)
    except TimeoutError as error:
        print(kamailio.log()[-1500:], error)
        bench.say(name, "rows never seen", "0", count - usrlocd.count())
    finally:
        usrlocd.end()
        kamailio.stop()
        shutil.rmtree(where)
