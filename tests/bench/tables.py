"""Kamailio's tables: made, filled in one transaction, and read as SQLite reads them."""

import json
import sqlite3
import time
from pathlib import Path

SCHEMA = Path("/usr/share/kamailio/db_sqlite")
ATTRIBUTE_INDEX = "CREATE INDEX location_attrs_ruid_idx ON location_attrs (ruid)"
AGENT = "Yealink SIP-T46S 66.86.0.15"

LOCATION = (
    "ruid, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, flags, cflags,"
    " user_agent, socket, methods, instance, reg_id, server_id, connection_id, keepalive, partition"
)
INSERT = f"INSERT INTO location ({LOCATION}) VALUES ({', '.join('?' * 22)})"
INSERT_ATTRIBUTE = (
    "INSERT INTO location_attrs (ruid, username, domain, aname, atype, avalue, last_modified)"
    " VALUES (?, ?, ?, ?, 2, ?, ?)"
)


def julian(unix):
    """A moment as Kamailio's db_sqlite writes it."""
    return (unix - 0.5) / 86400 + 2440587.5


# With `SIZED`, the first phones are those of two further accounts: one of 10, one of 1,000; and each row has all the
# attributes that Kazoo gives it.
SIZED = False


def account(number):
    return f"{number:032x}"


TEN, THOUSAND = account(1_000_010), account(1_001_000)


def owner(number, accounts):
    if SIZED and number < 1010:
        return TEN if number < 10 else THOUSAND
    return account(number % accounts)


class Phone:
    """A registered device; everything about it follows from its number and from how many accounts there are."""

    def __init__(self, number, accounts):
        self.number, self.cseq = number, 1
        self.owner = owner(number, accounts)
        self.user = f"user{number}"
        self.domain = f"realm{number % accounts}.example.com"
        self.ruid = f"uloc-6a0b1c2d-7f1-{number:x}"
        self.call_id = f"call-{number}@192.0.2.7"

    def row(self, now, lifetime):
        address = f"192.0.2.{self.number % 250}"
        port = 1024 + self.number % 60000
        return (
            self.ruid, self.user, self.domain, f"sip:{self.user}@{address}:{port};transport=udp",
            f"sip:{address}:{port}", None, julian(now + lifetime), -1.0, self.call_id, self.cseq, julian(now), 0, 64,
            AGENT, "udp:198.51.100.1:5060", 8159, f"<urn:uuid:00000000-0000-4000-8000-{self.number:012x}>",
            0, 0, -1, 0, 0,
        )

    def attributes(self, now):
        device = f"{self.number:032x}"
        named = {"token": f"{device}@{self.owner}"}
        if SIZED:
            named["custom_channel_vars"] = json.dumps({
                "Account-ID": self.owner, "Account-Realm": self.domain, "Account-Name": f"Account {self.owner[-6:]}",
                "Authorizing-ID": device, "Authorizing-Type": "device", "Owner-ID": f"{self.number + (1 << 120):032x}",
                "Username": self.user, "Realm": self.domain,
                "Suppress-Unregister-Notifications": False, "Register-Overwrite-Notify": False,
            }, separators=(",", ":"))
        return [(self.ruid, self.user, self.domain, name, value, julian(now)) for name, value in named.items()]


def connect(file):
    """A connection as db_sqlite has one: autocommit, no patience, each statement prepared anew."""
    return sqlite3.connect(file, timeout=0, isolation_level=None, cached_statements=0)


def create(file, journal):
    database = connect(file)
    database.execute(f"PRAGMA journal_mode={journal}")
    for part in ("standard-create.sql", "usrloc-create.sql"):
        database.executescript((SCHEMA / part).read_text())
    database.execute(ATTRIBUTE_INDEX)
    return database


def fill(file, journal, rows, accounts, attributes=True):
    database = create(file, journal)
    now = int(time.time())
    phones = (Phone(number, accounts) for number in range(rows))
    database.execute("BEGIN")
    for phone in phones:
        database.execute(INSERT, phone.row(now, 7200 + phone.number % 3600))
        if attributes:
            database.executemany(INSERT_ATTRIBUTE, phone.attributes(now))
    database.execute("COMMIT")
    database.close()


def truth(file, wanted):
    """The number of rows, and of the accounts `wanted` what the API is to say of each row."""
    database = sqlite3.connect(file)
    count = database.execute("SELECT count(*) FROM location").fetchone()[0]
    rows = set()
    query = (
        "SELECT l.ruid, l.username, l.callid, l.contact, l.cseq, round((l.expires - 2440587.5) * 86400 + 0.5), a.avalue"
        " FROM location l JOIN location_attrs a ON a.ruid = l.ruid AND a.aname = 'token'"
    )
    for ruid, user, call_id, contact, cseq, expires, token in database.execute(query):
        device, owner = token.split("@")
        if owner in wanted:
            rows.add((ruid, user, call_id, contact, cseq, int(expires), device, owner))
    database.close()
    return count, rows


def shown(usrlocd, wanted):
    """The same, as the API says it."""
    rows = set()
    for owner in wanted:
        for one in json.loads(usrlocd.get(f"/v2/accounts/{owner}/registrations"))["data"]:
            rows.add((
                one["ruid"], one["username"], one["call_id"], one["contact"], one["cseq"], one["expires_at"],
                one["authorizing_id"], owner,
            ))
    return usrlocd.count(), rows
