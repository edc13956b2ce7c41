"""How long a search and a sorted page take over all registrations, beside the whole list in the same run; and what
others wait while somebody searches without a pause."""

import shutil
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import speed
import tables
from usrlocd import TOKEN, Usrlocd

# By the number of rows: how long a search may take.
GOALS = {100_000: 0.05, 1_000_000: 0.4}
PAGE = "page_size=100"
# What is looked for, and whether the goal is about it.
QUESTIONS = {
    "one word that one phone has": ("q=user99999", True),
    "two words that all have": ("q=yealink+192.0.2", True),
    "word that nobody has": ("q=grandstream", True),
    "network": (f"q={quote('ip:192.0.2.128/25')}", True),
    "prefixes": (f"q={quote('user:user1* ua:t46s transport:udp expires:>60')}", True),
    "beginning of an account": (f"q={quote('account:0000000000000000000000000000000*')}", True),
    "100 ruids": ("ruids=" + ",".join(f"uloc-6a0b1c2d-7f1-{number:x}" for number in range(100)), True),
    "filter": ("filter_proxy_protocol=tls", False),
    "sort by a number": ("sort=-expires", False),
    "sort by a text": ("sort=user_agent", False),
    "search and sort": ("q=user9&sort=-contact", False),
}


def timed(usrlocd, path):
    begin = time.monotonic()
    usrlocd.get(path)
    return time.monotonic() - begin


def whole(usrlocd):
    """How long the whole list takes a reader who does nothing with it."""
    head = f"GET /v2/registrations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Auth-Token: {TOKEN}\r\n\r\n"
    begin = time.monotonic()
    speed.read_long(usrlocd, head.encode(), 0)
    return time.monotonic() - begin


def median(values):
    return sorted(values)[len(values) // 2]


def patience(usrlocd, other, seconds):
    """The times of a small question, one after the other, while `other` searches."""
    ends = time.monotonic() + seconds

    def search():
        while time.monotonic() < ends:
            other.get(f"/v2/registrations?q=grandstream&{PAGE}")

    thread = threading.Thread(target=search)
    thread.start()
    times = []
    while time.monotonic() < ends:
        times.append(timed(usrlocd, f"/v2/accounts/{tables.account(7)}/registrations/count"))
        time.sleep(0.002)
    thread.join()
    return sorted(times)


def run(bench, folder, rows):
    where = Path(tempfile.mkdtemp(prefix="usrlocd-bench-", dir=folder))
    file = str(where / "kamailio.sqlite")
    name = f"search, {rows:,} phones"
    print(f"{name}: fills the tables …", flush=True)
    usrlocd = Usrlocd(bench.options.program, file, where)
    turns = 3 if bench.options.quick else 9
    try:
        tables.fill(file, "WAL", rows, max(rows // 100, 10))
        usrlocd.start()
        usrlocd.until(usrlocd.is_live, 600)
        usrlocd.rest()
        all_of_them = median([whole(usrlocd) for _ in range(3)])
        bench.say(name, "the whole list", "", all_of_them, " ms", None, 1e3)
        goal = GOALS.get(rows)
        for what, (query, has_goal) in QUESTIONS.items():
            took = median([timed(usrlocd, f"/v2/registrations?{query}&{PAGE}") for _ in range(turns)])
            limit = goal if has_goal else None
            words = f"{limit * 1e3:.0f} ms" if limit else ""
            bench.say(name, what, words, took, " ms", limit, 1e3)
            bench.say(name, f"{what}: part of the whole list's", "", took / all_of_them, " %", None, 100)
        alone = sorted(timed(usrlocd, f"/v2/accounts/{tables.account(7)}/registrations/count") for _ in range(500))
        busy = patience(usrlocd, usrlocd.another(), 3 if bench.options.quick else 10)
        for part in (0.5, 0.99):
            at = lambda times: times[min(int(len(times) * part), len(times) - 1)]
            said = f"{at(alone) * 1e3:.2f} ms alone"
            bench.say(name, f"a count while somebody searches, p{part * 100:.0f}", said, at(busy), " ms", None, 1e3)
        usrlocd.stop()
    finally:
        usrlocd.end()
        shutil.rmtree(where)
