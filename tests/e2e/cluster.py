"""Starting nodes and talking to them: REST by urllib, RESP by hand. Standard library only; used by e2e tests and the benchmark."""
import base64
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("MERIDIAN", str(ROOT / "build" / "meridian"))
USER, PASSWORD = "admin@meridian.test", "correct-horse"


class RestError(Exception):
    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body = status, body


def rest(port, method, path, body=None, user=USER, password=PASSWORD, timeout=30):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, data=data, context=context, timeout=timeout) as r:
            text = r.read()
    except urllib.error.HTTPError as e:
        raise RestError(e.code, e.read().decode(errors="replace")) from None
    return json.loads(text) if text else None


def wait_port(port, seconds=15):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on port {port}") from None
            time.sleep(0.05)


class Client:
    """A blocking RESP2 client, enough for tests."""

    def __init__(self, port, password=None, host="127.0.0.1", timeout=30):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        if password:
            self.command("AUTH", password)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    @staticmethod
    def encode(args):
        args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)

    def send(self, *args):
        self.sock.sendall(self.encode(args))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed")
        kind, rest_of = line[:1], line[1:-2]
        if kind == b"-":
            return Exception(rest_of.decode(errors="replace"))
        if kind == b":":
            return int(rest_of)
        if kind == b"+":
            return rest_of
        if kind == b"$":
            n = int(rest_of)
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if kind == b"*":
            n = int(rest_of)
            return None if n < 0 else [self.read() for _ in range(n)]
        raise ValueError(f"not RESP2: {line!r}")

    def command(self, *args):
        self.send(*args)
        return self.read()


def command(port, *args):
    with Client(port) as c:
        return c.command(*args)


def pipeline(port, requests, depth=500):
    with Client(port) as c:
        batch = []

        def flush():
            c.sock.sendall(b"".join(batch))
            for _ in batch:
                reply = c.read()
                if isinstance(reply, Exception):
                    raise reply
            batch.clear()

        for args in requests:
            batch.append(Client.encode(args))
            if len(batch) == depth:
                flush()
        flush()


def info(port, section=""):
    text = command(port, "INFO", *([section] if section else [])).decode()
    out = {}
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            out[name] = int(value) if value.lstrip("-").isdigit() else value
    return out


class Node:
    """A `meridian node` with a data folder of its own, on ports of its own."""

    def __init__(self, name, rest_port, discovery_port, workers=1, flags=(), inside=None):
        self.name, self.rest_port = name, rest_port
        self.dir = tempfile.mkdtemp(prefix="meridian-", dir=inside)
        self.log = open(os.path.join(self.dir, "node.log"), "ab")
        self.args = [BINARY, "node", "--data", self.dir, "--rest-port", str(rest_port), "--discovery-port", str(discovery_port),
                     "--bind", "127.0.0.1", "--advertise", "127.0.0.1", "--workers", str(workers), *flags]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.args, stdout=self.log, stderr=self.log, start_new_session=True)
        wait_port(self.rest_port)

    def rest(self, method, path, body=None, **kw):
        return rest(self.rest_port, method, path, body, **kw)

    def bootstrap(self):
        self.rest("POST", "/v1/bootstrap/create_cluster",
                  {"action": "create_cluster", "cluster": {"name": self.name}, "credentials": {"username": USER, "password": PASSWORD}})
        end = time.monotonic() + 15
        while self.rest("GET", "/v1/bootstrap")["bootstrap_status"]["state"] != "completed":
            if time.monotonic() > end:
                raise TimeoutError("bootstrap")
            time.sleep(0.05)

    def create_db(self, name, port, shards=1, **fields):
        bdb = self.rest("POST", "/v1/bdbs", {"name": name, "memory_size": 0, "port": port, "shards_count": shards,
                                             "sharding": shards > 1, **fields})
        end = time.monotonic() + 15
        while self.rest("GET", f"/v1/bdbs/{bdb['uid']}")["status"] != "active":
            if time.monotonic() > end:
                raise TimeoutError("database creation")
            time.sleep(0.05)
        wait_port(port)
        return bdb["uid"]

    def pids(self):
        """The manager and its data plane."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        plane = pathlib.Path(self.dir, "plane.pid")
        if plane.exists():
            children += plane.read_text(encoding="ascii").split()  # empty while it is being written
        return sorted({self.process.pid, *map(int, children)})

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def wait_task(node, task, seconds=60):
    end = time.monotonic() + seconds
    while True:
        t = node.rest("GET", f"/v1/crdb_tasks/{task['id']}")
        if t["status"] in ("finished", "failed"):
            return t
        if time.monotonic() > end:
            raise TimeoutError(f"task: {t}")
        time.sleep(0.05)


def create_crdb(name, members, **config):
    """members: [(node, db port)]; the first coordinates. Returns the GUID."""
    node = members[0][0]
    task = node.rest("POST", "/v1/crdbs", {
        "name": name, "default_db_config": {"memory_size": 0, **config},
        "instances": [{"cluster": {"name": n.name, "url": f"https://127.0.0.1:{n.rest_port}",
                                   "credentials": {"username": USER, "password": PASSWORD}},
                       "db_config": {"port": port}} for n, port in members]})
    task = wait_task(node, task)
    if task["status"] != "finished":
        raise RuntimeError(f"creating {name}: {task}")
    for _, port in members:
        wait_port(port)
    return task["crdb_guid"]


def crdt(port):
    return info(port, "crdt")


def wait_equal(ports, seconds=60):
    """Until all regions report the same digest and context (INFO crdt)."""
    end = time.monotonic() + seconds
    while True:
        seen = {(i["crdt_digest"], i["crdt_context_hash"]) for i in map(crdt, ports)}
        if len(seen) == 1:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"regions differ: {seen}")
        time.sleep(0.005)


def link_bytes(port):
    return crdt(port)["crdt_link_bytes_in"]
