"""What publishing to the fleet's database costs and how soon it shows.

10,000 phones refresh every 300 s, as rows of a SQLite file that a writer updates; then some rows change visibly. The
log of a private PostgreSQL says what a refresh costs (less what it grows while nothing happens), its commit timestamps
when a change became visible, and the daemon's own thread what it costs the node.
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import tables
from beside import part
from servers import Postgres
from usrlocd import Usrlocd

PHONES, INTERVAL, LIFETIME = 10_000, 300, 600
RIGHTS = (
    "grant usage on schema usrlocd to usrlocd; grant select on usrlocd.migration to usrlocd;"
    "grant select, insert, update, delete on usrlocd.node, usrlocd.row, usrlocd.block, usrlocd.log, usrlocd.event,"
    " usrlocd.flapping, usrlocd.intent to usrlocd;"
)


class Database(Postgres):
    """One that keeps when each transaction was committed."""

    def command(self):
        return [*super().command(), "-c", "track_commit_timestamp=on", "-c", "autovacuum=off"]

    def log(self):
        """How many bytes of its log there have been."""
        return int(self.query("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


class Kamailio:
    """Writes the tables as a Kamailio does whose phones register every five minutes."""

    def __init__(self, file):
        self.database = tables.create(file, "WAL")
        self.phones = [tables.Phone(number, 1000) for number in range(PHONES)]
        now = int(time.time())
        self.database.execute("BEGIN")
        for phone in self.phones:
            self.database.execute(tables.INSERT, phone.row(now, LIFETIME))
            self.database.executemany(tables.INSERT_ATTRIBUTE, phone.attributes(now))
        self.database.execute("COMMIT")
        self.next = 0

    def refresh(self, agent=None):
        """The next phone refreshes; the moment of its commit."""
        # Neighbours in the table do not register one after the other.
        phone = self.phones[self.next * 7919 % PHONES]
        self.next += 1
        phone.cseq += 1
        now = int(time.time())
        self.database.execute(
            "UPDATE location SET expires=?, cseq=?, last_modified=?, user_agent=? WHERE ruid=?",
            (tables.julian(now + LIFETIME), phone.cseq, tables.julian(now), agent or tables.AGENT, phone.ruid),
        )
        return phone, time.time()

    def refreshes(self, seconds, rate, agent=None):
        began, done = time.monotonic(), []
        while (passed := time.monotonic() - began) < seconds:
            while len(done) < passed * rate:
                done.append(self.refresh(agent and agent(len(done))))
            time.sleep(0.005)
        return done


def fleet_cpu(usrlocd):
    """Seconds of a core that the publisher's thread has taken."""
    for task in Path(f"/proc/{usrlocd.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "fleet":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise RuntimeError("there is no thread called fleet")


def measure(bench, database, kamailio, usrlocd):
    seconds = 90 if bench.options.quick else 600
    name = "fleet 10k"
    before, began = database.log(), time.monotonic()
    time.sleep(15)
    idle = (database.log() - before) / (time.monotonic() - began)
    bench.say(name, "WAL while nothing happens", "", idle, " B/s")
    before, began = database.log(), time.monotonic()
    refreshes = kamailio.refreshes(seconds, PHONES / INTERVAL)
    # Until each block has had its turn.
    time.sleep(62)
    grown = database.log() - before - idle * (time.monotonic() - began)
    bench.say(name, "WAL a refresh", "5 B", grown / len(refreshes), " B", 5)

    changes = kamailio.refreshes(20, 20, lambda number: f"Mark {number}")
    time.sleep(2)
    committed = dict(
        line.split("|") for line in database.query(
            "select username, extract(epoch from pg_xact_commit_timestamp(xmin)) from usrlocd.row"
        ).splitlines()
    )
    latencies = [float(committed[phone.user]) - at for phone, at in changes]
    bench.say(name, f"commit until visible, p50 of {len(latencies)}", "300 ms", part(latencies, 0.5), " ms", 0.3, 1000)
    bench.say(name, "commit until visible, p99", "1 s", part(latencies, 0.99), " ms", 1, 1000)

    cpu, began, before = fleet_cpu(usrlocd), time.monotonic(), database.log()
    changed = kamailio.refreshes(20, 500, lambda number: f"Agent {number}")
    share = (fleet_cpu(usrlocd) - cpu) / (time.monotonic() - began)
    usrlocd.until(lambda: b"\nusrlocd_fleet_events_waiting 0\n" in usrlocd.get("/metrics"), 60)
    grown = database.log() - before
    bench.say(name, "WAL a change with its event", "", grown / len(changed), " B")
    events, size = database.query("select count(*), pg_total_relation_size('usrlocd.event') from usrlocd.event").split("|")
    if int(events):
        bench.say(name, f"bytes of each of {events.strip()} events with its indexes", "", int(size) / int(events), " B")
    bench.say(name, "publisher's share of a core at 500 changes/s", "2 %", share, " %", 0.02, 100)


def run(bench):
    own, folder = tempfile.mkdtemp(prefix="usrlocd-bench-"), tempfile.mkdtemp(prefix="usrlocd-bench-")
    database = usrlocd = None
    try:
        database = Database(folder)
        database.start()
        owner = f"postgres://postgres@127.0.0.1:{database.port}/kamailio"
        subprocess.run([bench.options.program, "fleet", "migrate", "--url", owner], check=True)
        database.query(RIGHTS)
        file = f"{own}/kamailio.sqlite"
        kamailio = Kamailio(file)
        usrlocd = Usrlocd(bench.options.program, file, own)
        with usrlocd.config.open("a") as config:
            config.write(f'[fleet]\nurl = "{database.url}"\nnode = "bench"\n')
        usrlocd.start()
        usrlocd.until(lambda: b"\nusrlocd_fleet_publishing 1\n" in usrlocd.get("/metrics"), 60)
        measure(bench, database, kamailio, usrlocd)
    finally:
        for one in (usrlocd, database):
            if one:
                one.end()
        for path in (own, folder):
            shutil.rmtree(path, ignore_errors=True)
