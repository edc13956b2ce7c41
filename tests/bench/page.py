"""The operators' page in a real browser, over many registrations: when its first table is there, when a change is on the
screen while 200 come a second, and what the tab takes.
"""

import json
import random
import shutil
import subprocess
import time
from pathlib import Path

import tables
from beside import median, part
from events import Site
from usrlocd import TOKEN

UI = Path(__file__).resolve().parents[1] / "ui"
SHOWN, RATE, TURNS = 100, 200, 10
# Of the changes in a turn, so many are of rows that are on the screen.
ON_SCREEN = 2


class Browser:
    """Answers what is asked of it, one after the other."""

    def __init__(self, port):
        command = ["node", UI / "bench.js", f"http://127.0.0.1:{port}", TOKEN, shutil.which("chromium")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, wish):
        print(wish, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(bench):
    subprocess.run([UI / "tool"], check=True)
    name = f"page, {bench.rows // 1000}k rows"
    site, browser = Site(bench, bench.rows), None
    try:
        usrlocd, _ = site.start("")
        usrlocd.rest()
        browser = Browser(usrlocd.port)
        bench.say(name, "first visit, as it is sent", "60 kB", browser("firstVisit"), " kB", 60e3, 1e-3)
        times = [browser("table") / 1e3 for _ in range(5)]
        bench.say(name, "first table, median of 5", "300 ms", median(times), " ms", 0.3, 1e3)
        browser("watch")
        shown = json.loads(usrlocd.get(f"/v2/registrations?page_size={SHOWN}&fields=username"))["data"]
        numbers = [int(one["username"].removeprefix("user")) for one in shown]
        committed = change(site, numbers, 15 if bench.options.quick else 60)
        time.sleep(1)
        seen = browser("painted")
        wrong = differences(browser, usrlocd)
        first = {}
        for text, moment in seen["painted"]:
            first.setdefault(text, moment / 1e3)
        late = [first[text] - moment for text, moment in committed.items() if text in first]
        title = f"{name}, {RATE}/s"
        # A row that changes again at once is painted once.
        bench.say(title, f"changes that were not painted, of {len(committed)}", "", len(committed) - len(late))
        bench.say(title, "rows on the screen that differ from the list at the end", "0", wrong, "", 0)
        for share, limit in ((0.5, None), (0.95, 0.4)):
            goal = f"{limit * 1e3:.0f} ms" if limit else ""
            bench.say(title, f"commit to pixel, p{share * 100:.0f}", goal, part(late, share), " ms", limit, 1e3)
        bench.say(title, "objects of the tab afterwards", "100 MB", seen["heap"], " MB", 100e6, 1e-6)
        bench.say(title, "requests to other origins", "0", seen["elsewhere"], "", 0)
    finally:
        if browser:
            browser.end()
        site.end()


def differences(browser, usrlocd):
    """How many rows on the screen are not those of the list, once nothing changes any more."""
    path = f"/v2/registrations?page_size={SHOWN}&fields=username,source_ip,source_port"
    items = json.loads(usrlocd.get(path))["data"]
    listed = [[one["username"], f"{one['source_ip']}:{one['source_port']}"] for one in items]
    shown = browser("shown")
    return abs(len(shown) - len(listed)) + sum(a != b for a, b in zip(shown, listed))


def change(site, shown, seconds):
    """Moves phones to other addresses; those of rows that are shown, each with the moment of its commit."""
    database, committed, port = tables.connect(site.file), {}, 1024
    begin = time.monotonic()
    for turn in range(seconds * TURNS):
        time.sleep(max(begin + turn / TURNS - time.monotonic(), 0))
        addresses = []
        database.execute("BEGIN IMMEDIATE")
        for at in range(RATE // TURNS):
            number = random.choice(shown) if at < ON_SCREEN else random.randrange(site.rows)
            port = 1024 + (port - 1023) % 64000
            address = f"198.51.100.{turn % 250}:{port}"
            ruid = tables.Phone(number, site.accounts).ruid
            database.execute("UPDATE location SET received = ? WHERE ruid = ?", (f"sip:{address}", ruid))
            if at < ON_SCREEN:
                addresses.append(address)
        database.execute("COMMIT")
        committed.update(dict.fromkeys(addresses, time.time()))
    database.close()
    return committed
