"""Tables on a database server: how soon changes show, and what share of one of the server's cores usrlocd takes.

A client of the server writes as a Kamailio with db_postgres or db_mysql does, one statement a transaction; some
statements are marked, and each is followed by an echo that says when it was answered. The server's work for usrlocd is
that of the one process (PostgreSQL) or thread (MariaDB) which serves usrlocd's connection.
"""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from beside import part
from usrlocd import TICKS, Usrlocd

SCHEMAS = Path("/usr/share/kamailio")
RATE = 500
PASSWORD = "only-for-reading"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A private server; root starts it as its package's user."""

    def __init__(self, folder):
        self.folder, self.port, self.process = Path(folder), free_port(), None
        if os.geteuid() == 0:
            shutil.chown(folder, self.user, self.user)

    def own(self, command):
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--", *command]
        return command

    def run(self, command, **more):
        subprocess.run(self.own(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=self.environment(), **more)

    def environment(self):
        """A MariaDB that starts removes the temporary files of all others in the same directory."""
        return os.environ | {"TMPDIR": str(self.folder)}

    def start(self):
        log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(self.own(self.command()), stdout=log, stderr=log, cwd="/tmp",
                                        env=self.environment())
        for _ in range(300):
            if not subprocess.run([*self.client(self.first), *self.one("select 1")], capture_output=True).returncode:
                break
            time.sleep(0.1)
        schema = "".join((SCHEMAS / self.name / f"{part}-create.sql").read_text() for part in ("standard", "usrloc"))
        self.query(self.users, self.first)
        self.query(schema + self.grants)

    def query(self, sql, database="kamailio"):
        done = subprocess.run(self.client(database), input=sql, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def fill(self, rows):
        self.query(
            "insert into location (ruid, username, domain, contact, received, expires, q, callid, cseq, last_modified,"
            " cflags, user_agent, socket, methods, instance) select concat('uloc-6a0b1c2d-7f1-', n), concat('user', n),"
            " concat('realm', n % 1000, '.example.com'), concat('sip:user', n, '@192.0.2.7:5060;transport=udp'),"
            f" 'sip:192.0.2.7:5060', {self.now} + interval {self.day}, -1, concat('call-', n, '@192.0.2.7'), 1, {self.now}"
            f" - interval {self.day}, 64, 'Yealink SIP-T46S 66.86.0.15', 'udp:198.51.100.1:5060', 8159,"
            f" concat('<urn:uuid:00000000-0000-4000-8000-', n, '>') from {self.series.format(rows)}"
        )

    def end(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)


class Postgres(Server):
    name, user, first, title = "postgres", "postgres", "postgres", "PostgreSQL"
    users = f"create role usrlocd login password '{PASSWORD}'; create database kamailio;"
    grants = "grant select on location, location_attrs to usrlocd; alter table location set (autovacuum_enabled = on);"
    now, day, series = "localtimestamp(0)", "'1 day'", "generate_series(1, {}) as n"

    def __init__(self, folder):
        super().__init__(folder)
        self.bin = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
        self.run([self.bin / "initdb", "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8",
                  "--locale=C.UTF-8", "-D", self.folder / "data"], cwd="/tmp")
        self.url = f"postgres://usrlocd:{PASSWORD}@127.0.0.1:{self.port}/kamailio"

    def command(self):
        return [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder,
                "-c", "timezone=UTC", "-c", "fsync=off"]

    def client(self, database):
        return [self.bin / "psql", "-XqAt", "-U", "postgres", "-h", self.folder, "-p", str(self.port), "-d", database]

    @staticmethod
    def one(sql):
        return ["-c", sql]

    @staticmethod
    def echo(text):
        return f"\\echo {text}\n"

    def cpu(self):
        """The time of the process that serves usrlocd."""
        pid = self.query("select pid from pg_stat_activity where usename = 'usrlocd'").split()[0]
        return ticks(f"/proc/{pid}/stat")


class MariaDb(Server):
    name, user, first, title = "mysql", "mysql", "mysql", "MariaDB"
    users = (f"create database kamailio; create user usrlocd@'127.0.0.1' identified by '{PASSWORD}';")
    grants = ("grant select on kamailio.location to usrlocd@'127.0.0.1';"
              "grant select on kamailio.location_attrs to usrlocd@'127.0.0.1';")
    now, day, series = "utc_timestamp()", "1 day", "(select seq as n from seq_1_to_{}) as numbers"

    def __init__(self, folder):
        super().__init__(folder)
        self.run(["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
                  f"--datadir={folder}/data"])
        self.url = f"mysql://usrlocd:{PASSWORD}@127.0.0.1:{self.port}/kamailio"

    def command(self):
        return ["mariadbd", "--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--character-set-server=utf8mb4",
                "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=1G", "--default-time-zone=+00:00"]

    def client(self, database):
        return ["mariadb", "--no-defaults", "-nBN", "-u", "root", "-S", f"{self.folder}/socket", database]

    @staticmethod
    def one(sql):
        return ["-e", sql]

    @staticmethod
    def echo(text):
        return f"select '{text}';\n"

    def cpu(self):
        """The time of the thread that serves usrlocd."""
        tid = self.query("select tid from information_schema.processlist where user = 'usrlocd'").split()[0]
        return ticks(f"/proc/{self.process.pid}/task/{tid}/stat")


def ticks(file):
    fields = Path(file).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Writer:
    """Refreshes rows at a rate; each second one is marked, by turns changed, deleted or changed without a new
    `last_modified`."""

    def __init__(self, server, rows, last):
        """Rows from the one with the number `last` on are marked, and changed by nothing else."""
        self.server, self.rows, self.last, self.answered, self.marks = server, rows, last, {}, []
        self.client = subprocess.Popen(server.client("kamailio"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.client.stdout:
            self.answered[line.strip()] = time.monotonic()

    def write(self, sql):
        self.client.stdin.write(sql)

    def run(self, seconds, rate):
        began, written, second = time.monotonic(), 0, 0
        while (passed := time.monotonic() - began) < seconds:
            while written < passed * rate:
                n = random.randrange(1, self.rows - 1000)
                self.write(
                    f"update location set cseq = cseq + 1, expires = {self.server.now} + interval {self.server.day},"
                    f" last_modified = {self.server.now} where ruid = 'uloc-6a0b1c2d-7f1-{n}';\n"
                )
                written += 1
            if passed >= second:
                self.mark(second)
                second += 1
            self.client.stdin.flush()
            time.sleep(0.005)

    def mark(self, second):
        n = self.last + second
        name = f"mark-{n}"
        kind = ("changed", "removed")[second % 2]
        where = f"where ruid = 'uloc-6a0b1c2d-7f1-{n}';\n"
        if kind == "changed":
            change = f"update location set user_agent = '{name}', last_modified = {self.server.now} {where}"
        else:
            change = f"delete from location {where}"
        self.marks.append((kind, name, n))
        self.write(change + self.server.echo(name))

    def end(self):
        self.client.stdin.close()
        self.client.wait(60)


def watch(usrlocd, writer, stop):
    """Seconds from the answer to a marked write until it shows, by kind."""
    shown, latencies = set(), {"changed": [], "removed": []}
    while not stop.is_set() or len(shown) < len(writer.marks):
        for kind, name, n in list(writer.marks):
            if name in shown or name not in writer.answered:
                continue
            path = f"/v2/accounts/realm{n % 1000}.example.com/registrations/user{n}"
            status, body = usrlocd.request(path)
            there = status == 200 and (name.encode() in body if kind == "changed" else b"user" in body)
            if there == (kind == "changed"):
                latencies[kind].append(time.monotonic() - writer.answered[name])
                shown.add(name)
            elif time.monotonic() - writer.answered[name] > 60:
                latencies[kind].append(60)
                shown.add(name)
        time.sleep(0.01)
    return latencies


def measure(bench, name, server, usrlocd, rows, last, limits):
    seconds = 20 if bench.options.quick else 40
    writer, stop, found = Writer(server, rows, last), threading.Event(), {}
    other = usrlocd.another()
    watcher = threading.Thread(target=lambda: found.update(watch(other, writer, stop)))
    watcher.start()
    cpu, began = server.cpu(), time.monotonic()
    writer.run(seconds, RATE)
    share = (server.cpu() - cpu) / (time.monotonic() - began)
    stop.set()
    watcher.join()
    writer.end()
    for (kind, some), limit in zip(sorted(found.items()), limits):
        bench.say(name, f"{kind} rows, p50 of {len(some)}", "", part(some, 0.5), " s")
        bench.say(name, f"{kind} rows, slowest", f"{limit} s", max(some), " s", limit)
    bench.say(name, "share of one of the server's cores", "5 %", share, " %", 0.05, 100)


def server(bench, kind, rows):
    own, folder = tempfile.mkdtemp(prefix="usrlocd-bench-"), tempfile.mkdtemp(prefix="usrlocd-bench-")
    name = f"{kind.title} {rows // 1000}k"
    print(f"{name}: fills the tables …", flush=True)
    server = usrlocd = None
    try:
        server = kind(folder)
        server.start()
        server.fill(rows)
        usrlocd = Usrlocd(bench.options.program, server.url, own)
        usrlocd.config.write_text(usrlocd.config.read_text().replace("[store]", 'timezone = "UTC"\n[store]'))
        cold = usrlocd.start()
        cold = usrlocd.until(usrlocd.is_live, 600) - cold
        bench.say(name, "cold start until live", "", cold, " s")
        few = rows <= 100_000
        measure(bench, f"{name} without index", server, usrlocd, rows, rows - 1000, (15, 30) if few else (None, None))
        server.query("create index location_last_modified_idx on location (last_modified)")
        # usrlocd looks at the indexes once a minute, and when it connects.
        usrlocd.stop()
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 600)
        measure(bench, f"{name} with index", server, usrlocd, rows, rows - 500, (1, 5) if few else (None, None))
    finally:
        for one in (usrlocd, server):
            if one:
                one.end()
        for path in (own, folder):
            shutil.rmtree(path, ignore_errors=True)


def run(bench):
    for kind in (Postgres, MariaDb):
        for rows in (100_000,) if bench.options.quick else (100_000, 1_000_000):
            server(bench, kind, rows)
