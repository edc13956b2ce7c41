"""One account's flush of 5,000 addresses of record, with a real Kamailio as Debian configures it (8 children)."""

import json
import shutil
import tempfile
import time
from pathlib import Path

import tables
from registrar import Phones, Registrar
from usrlocd import Usrlocd

COUNT = 5_000
GOAL = 5.0
TIMER = 1


def run(bench, folder):
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    name = f"flush of {COUNT} AoRs"
    kamailio = Registrar(where, 2, TIMER, children=8)
    usrlocd = Usrlocd(bench.options.program, kamailio.file, where, kamailio.rpc)
    path = f"/v2/accounts/{tables.account(0)}/registrations"
    times = []
    try:
        kamailio.start()
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 30)
        for _ in range(1 if bench.options.quick else 3):
            with Phones(kamailio.port, accounts=1) as phones:
                good, _ = phones.register_all(COUNT)
            usrlocd.until(lambda: usrlocd.count() >= good, 60, 0.05)
            begin = time.monotonic()
            status, body = usrlocd.request(path, "DELETE")
            times.append(time.monotonic() - begin)
            left = json.loads(usrlocd.get(path + "/count"))["data"]["count"]
            if status != 200 or left or good < COUNT:
                raise RuntimeError(f"registered {good}, {left} left, answered {status}: {body[:500]}")
        bench.say(name, "until it is answered \"ok\", slowest", f"{GOAL:.0f} s", max(times), " s", GOAL)
    except (RuntimeError, TimeoutError):
        print(kamailio.log()[-1500:])
        raise
    finally:
        usrlocd.end()
        kamailio.stop()
        shutil.rmtree(where)
