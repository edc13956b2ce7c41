"""The daemon that is measured: started, asked over HTTP, and what it costs."""

import contextlib
import copy
import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

TOKEN = "bench-token-0123456789abcdef"
TICKS = os.sysconf("SC_CLK_TCK")
UNIT = Path(__file__).resolve().parents[2] / "deploy/systemd/usrlocd.service"


def of_the_unit():
    """The priority and the environment that systemd gives usrlocd."""
    settings = [line.partition("=")[::2] for line in UNIT.read_text().splitlines()]
    nice = next(value for key, value in settings if key == "Nice")
    environment = (one.split("=", 1) for key, value in settings if key == "Environment" for one in value.split())
    return nice, dict(environment)


class Usrlocd:
    def __init__(self, program, database, folder, rpc="http://127.0.0.1:9/RPC"):
        self.nice, self.environment = of_the_unit()
        self.program, self.folder, self.process, self.connection = program, Path(folder), None, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = self.folder / "usrlocd.toml"
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        (self.folder / "tokens.toml").write_text(
            f'[[token]]\nname = "bench"\nsha256 = "{digest}"\naccounts = ["*"]\nrights = ["read", "flush"]\n'
        )
        self.config.write_text(
            f'[kamailio]\ndatabase = "{database}"\njsonrpc = "{rpc}"\n'
            f'[store]\npath = "{self.folder}/store/usrlocd.db"\n'
            f'[http]\nlisten = ["127.0.0.1:{self.port}"]\nsocket = "{self.folder}/usrlocd.sock"\n'
            f'[auth]\ntokens_file = "{self.folder}/tokens.toml"\n'
            "[limits]\nrequests = { burst = 1, per_second = 0 }\n"
        )

    def start(self):
        log = open(self.folder / "usrlocd.log", "ab")
        command = ["nice", "-n", self.nice, self.program, "serve", "--config", self.config]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.environment)
        return time.monotonic()

    def another(self):
        """The same daemon on another connection."""
        other = copy.copy(self)
        other.connection = None
        return other

    def stop(self):
        self.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def end(self):
        """However it is."""
        self.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, path, method="GET"):
        """Status and body; the connection is kept, and made anew where usrlocd has ended an idle one."""
        try:
            return self.request_once(path, method)
        except ConnectionError:
            self.close()
            return self.request_once(path, method)

    def request_once(self, path, method):
        if not self.connection:
            self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=300)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {TOKEN}\r\n\r\n".encode())
        data = b""
        while (at := data.find(b"\r\n\r\n")) < 0:
            data += self.receive()
        head, body = data[:at].lower(), [data[at + 4:]]
        size = len(body[0])
        if length := re.search(rb"\r\ncontent-length: (\d+)", head):
            while size < int(length[1]):
                body.append(self.receive())
                size += len(body[-1])
            return int(head[9:12]), b"".join(body)
        while not body[-1].endswith(b"0\r\n\r\n"):
            body[-1:] = [body[-1] + self.receive()]
        return int(head[9:12]), unchunked(body[0])

    def receive(self):
        data = self.connection.recv(1 << 20)
        if not data:
            raise ConnectionError("usrlocd closed the connection")
        return data

    def get(self, path):
        status, body = self.request(path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:300]}")
        return body

    def count(self):
        return json.loads(self.get("/v2/registrations/count"))["data"]["count"]

    def serves(self, account):
        """Whether it counts and lists the account; while it reads its store it may refuse to."""
        path = f"/v2/accounts/{account}/registrations"
        (status, count), (listed, body) = self.request(f"{path}/count"), self.request(path)
        return status == listed == 200 and len(json.loads(body)["data"]) == json.loads(count)["data"]["count"] > 0

    def serves_all(self):
        """The same of all accounts together."""
        return self.request("/v2/registrations/count")[0] == 200 and self.count() > 0

    def until(self, holds, patience, pause=0.004):
        """The moment when `holds` first did."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                if holds():
                    return time.monotonic()
            except OSError:
                self.close()
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "usrlocd.log").read_text()[-2000:])
            time.sleep(pause)
        raise TimeoutError((self.folder / "usrlocd.log").read_text()[-2000:])

    def is_live(self):
        return b'"state":"live"' in self.request("/readyz")[1]

    def rest(self, patience=120):
        """Waits until it has nothing to do: the store has caught up."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(0.5)
            if self.cpu() - before < 0.01:
                return

    def has_stored_all(self):
        """Whether its store says as of when it is complete."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/store/usrlocd.db?mode=ro", uri=True)) as store:
            return store.execute("SELECT as_of FROM source").fetchone() is not None

    def cpu(self):
        """Seconds of a core, to the nanosecond; short-lived threads of its are not in it."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass
        return total / 1e9

    def cpu_ticks(self):
        """Seconds of a core, of all threads that ever were."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, kind="VmRSS"):
        """Resident bytes, now or (VmHWM) at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(kind + r":\s+(\d+)", status)[1]) * 1024


def unchunked(data):
    out, at = [], 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if not size:
            return b"".join(out)
        out.append(data[end + 2:end + 2 + size])
        at = end + 4 + size
