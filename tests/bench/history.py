"""What the history costs: a day of 100,000 phones that are lost and come back four times, then more days; and the same
events as plain rows with two indexes, in the same run."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "history, 100,000 phones"
# By the name of a figure: what it is, its goal in words and as a number, and its unit.
FIGURES = {
    "day bytes": ("bytes an event, the first day", "<= 90", 90, " B"),
    "bytes an event": ("bytes an event, all days", "", None, " B"),
    "bytes": ("bytes of all", "<= 1 GiB", 1 << 30, " B"),
    "day rate": ("events a second, batches of 1,000", ">= 20,000", 20_000, ""),
    "late rate": ("events a second, batches of 1,000, at the end", ">= 20,000", 20_000, ""),
    "single p50": ("one event, p50", "<= 0.5 ms", 0.5, " ms"),
    "single p99": ("one event, p99", "", None, " ms"),
    "user p50": ("last 100 of a user, p50", "<= 5 ms", 5, " ms"),
    "user p99": ("last 100 of a user, p99", "<= 5 ms", 5, " ms"),
    "account p50": ("last 100 of an account, p50", "", None, " ms"),
    "account, in the middle p50": ("100 of an account in the middle, p50", "", None, " ms"),
    "whole": ("a rare reason among all", "", None, " s"),
    "read rate": ("events read a second", "", None, ""),
    "plain rate": ("plain rows: events a second", "", None, ""),
    "plain bytes": ("plain rows: bytes an event", "", None, " B"),
}


def run(bench, folder, events):
    program = Path(bench.options.program).parent / "examples" / "history"
    if not program.exists():
        sys.exit("make bench needs the example `history`: cargo build --release --example history")
    where = tempfile.mkdtemp(prefix="usrlocd-history-", dir=folder)
    print(f"{NAME}: writes {events:,} events …", flush=True)
    try:
        said = subprocess.run([program, where, str(events)], stdout=subprocess.PIPE, text=True, check=True).stdout
    finally:
        shutil.rmtree(where)
    figures = {}
    for line in said.splitlines():
        name, figure, unit = re.fullmatch(r"(.*?) ([\d.]+)(.*)", line).groups()
        figures["bytes an event" if (name, unit) == ("bytes", " an event") else name] = float(figure)
    for name, (what, goal, limit, unit) in FIGURES.items():
        bench.say(NAME, what, goal, figures[name], unit, limit)
