"""Writes registrations as Kamailio's db_sqlite does: one row a statement, one statement a transaction, no patience.

90 % of the operations refresh a row (UPDATE by ruid, its attribute deleted and inserted again), 5 % insert one, 5 %
delete one. A write is a statement. After `quiet` seconds some operations are marked; what is to be seen of them and
when it was committed (CLOCK_MONOTONIC, in nanoseconds) goes to standard output, the sums at the end as JSON.
"""

import argparse
import json
import os
import random
import sqlite3
import sys
import time
from collections import deque

import tables
from tables import INSERT, INSERT_ATTRIBUTE, Phone, connect, julian

REFRESH = (
    "UPDATE location SET username=?, domain=?, expires=?, q=-1, callid=?, cseq=?, flags=0, cflags=64, user_agent=?,"
    " received=?, path=NULL, socket='udp:198.51.100.1:5060', methods=8159, last_modified=? WHERE ruid=?"
)


class Writer:
    def __init__(self, options):
        self.options = options
        self.database = connect(options.file)
        self.alive = list(range(options.rows))
        self.next = options.rows
        self.cseq, self.call_ids = {}, {}
        self.recent = deque(maxlen=200)
        self.statements, self.busy, self.slowest, self.wal = 0, 0, [], 0
        self.random = random.Random(options.seed)

    def execute(self, sql, values):
        """One autocommit statement; the moment it was committed, or None when it failed."""
        begin = time.monotonic_ns()
        self.statements += 1
        try:
            self.database.execute(sql, values)
        except sqlite3.OperationalError:
            self.busy += 1
            return None
        end = time.monotonic_ns()
        self.slowest.append(end - begin)
        return end

    def phone(self, number):
        phone = Phone(number, self.options.accounts)
        phone.cseq = self.cseq.get(number, 1)
        phone.call_id = self.call_ids.get(number, phone.call_id)
        return phone

    def operate(self, mark):
        dice = 0.5 if self.options.refresh_only else self.random.random()
        kind = "refresh" if dice < 0.9 else "insert" if dice < 0.95 else "delete"
        now = int(time.time())
        if kind == "insert":
            number, self.next = self.next, self.next + 1
            phone = self.phone(number)
        else:
            while (at := self.random.randrange(len(self.alive))) is not None:
                number = self.alive[at]
                if number not in self.recent:
                    break
            phone = self.phone(number)
        if mark:
            self.recent.append(number)
            if kind == "refresh":
                phone.call_id = self.call_ids[number] = f"mark-{mark}@192.0.2.7"
            say("B", mark, kind, phone.owner, phone.user, phone.call_id)
        before = self.statements
        committed = getattr(self, kind)(phone, now, *([at] if kind == "delete" else []))
        if mark:
            say("C", mark, committed or 0)
        return self.statements - before

    def refresh(self, phone, now):
        phone.cseq = self.cseq[phone.number] = phone.cseq + 1
        row = phone.row(now, 7200 + self.random.randrange(3600))
        committed = self.execute(
            REFRESH,
            (phone.user, phone.domain, row[6], phone.call_id, phone.cseq, row[13], row[4], julian(now), phone.ruid),
        )
        self.execute("DELETE FROM location_attrs WHERE ruid=?", (phone.ruid,))
        self.add_attributes(phone, now)
        return committed

    def insert(self, phone, now):
        """Seen once it has its attribute: until then nobody knows whose it is."""
        row = self.execute(INSERT, phone.row(now, 7200))
        attribute = self.add_attributes(phone, now)
        if row:
            self.alive.append(phone.number)
        return row and attribute

    def add_attributes(self, phone, now):
        """The moment at which the last one was committed."""
        return [self.execute(INSERT_ATTRIBUTE, values) for values in phone.attributes(now)][-1]

    def delete(self, phone, _now, at):
        committed = self.execute("DELETE FROM location WHERE ruid=?", (phone.ruid,))
        if committed:
            self.alive[at] = self.alive[-1]
            self.alive.pop()
        self.execute("DELETE FROM location_attrs WHERE ruid=?", (phone.ruid,))
        return committed

    def run(self):
        options = self.options
        start = time.monotonic()
        due, marks, next_mark = start, 0, start + options.quiet
        end = start + options.quiet + options.marked
        while (now := time.monotonic()) < end:
            if due > now:
                time.sleep(due - now)
                now = time.monotonic()
            marked = now >= next_mark
            if marked:
                marks += 1
                next_mark = max(next_mark + options.mark_every, now)
            due += self.operate(marks if marked else 0) / options.rate
            if self.statements % 50 < 3:
                self.look_at_wal()
        self.look_at_wal()
        took = time.monotonic() - start
        self.slowest.sort()
        at = lambda part: self.slowest[min(int(len(self.slowest) * part), len(self.slowest) - 1)] / 1e6
        say("E", json.dumps({
            "rate": self.statements / took, "statements": self.statements, "busy": self.busy,
            "p50": at(0.5), "p99": at(0.99), "wal": self.wal, "alive": len(self.alive), "next": self.next,
        }))
        self.database.close()

    def look_at_wal(self):
        try:
            self.wal = max(self.wal, os.stat(self.options.file + "-wal").st_size)
        except FileNotFoundError:
            pass


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    for name in ("rows", "accounts", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("rate", "quiet", "marked", "mark-every"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--refresh-only", action="store_true")
    parser.add_argument("--sized", action="store_true", help="see tables.SIZED")
    options = parser.parse_args()
    tables.SIZED = options.sized
    Writer(options).run()


if __name__ == "__main__":
    main()
