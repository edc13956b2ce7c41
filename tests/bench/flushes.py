"""What a flush of an account costs Kamailio where each removal makes one of its workers write (db_mode 1 and 3).

A real Kamailio with four workers for UDP and four for TCP, and 200 phones of one account. Each run flushes the account:
by usrlocd alone; by usrlocd while 50 other phones refresh, about 35 a second; and, for comparison, while they do so,
by the same removals sent one after the other without a look at anything. Counted are the lines of Kamailio's log that say
"database is locked", rows and contacts that are left of the account, and REGISTERs of the others that were refused.

`kamailio` is the first one in PATH. BUSY_TIMEOUT=1 sets Kamailio 6's db_set_busy_timeout.
"""

import http.client
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import tables
from registrar import Phones, Registrar
from usrlocd import Usrlocd

PHONES, OTHERS, RATE = 200, 50, 35
CHILDREN = 4

class Others(threading.Thread):
    """Phones that refresh one after the other, each once it is answered."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.ended, self.begun = port, threading.Event(), threading.Event()
        self.good, self.sent = 0, 0

    def run(self):
        # Odd numbers are all of the other account.
        with Phones(self.port, accounts=2) as phones:
            while not self.ended.is_set():
                due = time.monotonic() + 1 / RATE
                number = 1 + 2 * (self.sent % OTHERS)
                good, _ = phones.run([number], 1, lambda: 0, 5)
                self.sent, self.good = self.sent + 1, self.good + good
                if self.sent == 2 * OTHERS:
                    self.begun.set()
                self.ended.wait(max(due - time.monotonic(), 0.005))

    def stop(self):
        self.ended.set()
        self.join()


class Rpc:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        self.connection.request("POST", "/RPC", body)
        return json.loads(self.connection.getresponse().read())


def aor(number):
    return f"user{number}@realm0.example.com"


def one(bench, folder, mode, journal, busy, blind):
    """One flush by a Kamailio of its own; what came of it."""
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    kamailio = Registrar(where, mode, 600, journal, CHILDREN, workers=CHILDREN, busy_timeout=bool(os.environ.get("BUSY_TIMEOUT")))
    usrlocd = Usrlocd(bench.options.program, kamailio.file, where, kamailio.rpc)
    others = None
    try:
        kamailio.start()
        rpc = Rpc(kamailio.port)
        with Phones(kamailio.port, accounts=1) as phones:
            good, _ = phones.register_all(PHONES, 1)
        if good < PHONES:
            raise RuntimeError(f"{good} of {PHONES} phones were registered: " + kamailio.log()[-1500:])
        if not blind:
            usrlocd.start()
            usrlocd.until(usrlocd.is_live, 60)
            usrlocd.until(lambda: usrlocd.count() >= PHONES, 60, 0.05)
        if busy:
            others = Others(kamailio.port)
            others.start()
            others.begun.wait(60)
            refused = others.sent - others.good
        locks = kamailio.lock_errors()
        begin = time.monotonic()
        named, answer = 0, "blind"
        if blind:
            for number in range(PHONES):
                rpc("ul.lookup", "location", aor(number))
                rpc("ul.rm", "location", aor(number))
                rpc("ul.lookup", "location", aor(number))
        else:
            usrlocd.connection = None
            answer, body = usrlocd.request(f"/v2/accounts/{tables.account(0)}/registrations", "DELETE")
            if answer != 200:
                named = json.loads(body)["data"]["failed_total"]
        took = time.monotonic() - begin
        if others:
            others.stop()
            refused = others.sent - others.good - refused
        memory = sum("result" in rpc("ul.lookup", "location", aor(number)) for number in range(PHONES))
        locks = kamailio.lock_errors() - locks
        usrlocd.end()
        kamailio.stop()
        return {
            "answer": answer, "lock lines": locks, "rows left": rows(kamailio.file), "named": named, "in memory": memory,
            "REGISTERs refused": refused if others else 0, "seconds": took,
        }
    finally:
        if others:
            others.stop()
        usrlocd.end()
        kamailio.stop()
        shutil.rmtree(where)


def rows(file):
    """Rows of the account; nobody else uses the file any more."""
    connection = tables.sqlite3.connect(file)
    with connection:
        found = connection.execute("select count(*) from location where domain = 'realm0.example.com'").fetchone()[0]
    connection.close()
    return found


def run(bench, folder):
    print(f"{'':34}{'answer':>8}{'locks':>7}{'rows':>6}{'named':>7}{'memory':>8}{'refused':>9}{'seconds':>9}")
    for mode in (1, 3):
        for journal in ("WAL", "DELETE"):
            for what, busy, blind in (("alone", False, False), ("others", True, False), ("others, blind", True, True)):
                name = f"flush, db_mode {mode}, {journal}, {what}"
                sums = []
                for _ in range(1 if bench.options.quick else 3):
                    found = one(bench, folder, mode, journal, busy, blind)
                    sums.append(found)
                    values = list(found.values())
                    print(f"{name:34}" + "".join(f"{it:>{width}}" for it, width in zip(values[:-1], (8, 7, 6, 7, 8, 9))) + f"{values[-1]:>9.2f}", flush=True)
                strict = not busy
                for key in ("lock lines", "rows left", "in memory", "REGISTERs refused"):
                    bench.say(name, f"{key}, sum of {len(sums)}", "0" if strict else "", sum(it[key] for it in sums), "", 0 if strict else None)
                if not blind:
                    unnamed = sum(max(it["rows left"] - it["named"], 0) for it in sums)
                    bench.say(name, "rows left that the answer does not name", "0", unnamed, "", 0)
                bench.say(name, "slowest", "", max(it["seconds"] for it in sums), " s")
