#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
"""Sources that want credentials or TLS are followed, by the command line and over REST; what is wrong is said.

    tests/compat/secured.py [--port N]

Starts redis-servers with users (ACL) and with TLS, one that demands clients' certificates, and a node; ports N .. N+8. Certificates are
made by openssl. Ends with "N passed, N failed"; exit status 1 if any failed.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from cluster import BINARY, Client, Node, wait_port  # noqa: E402

USERS = """user default on >topsecret ~* &* +@all
user rep on >re%p@w ~* &* +psync +replconf +ping +info
user quiet on >quiet +psync +replconf +ping
user weak on >weak +ping +info
"""
REP = "rep:re%25p%40w"


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def certificate(folder, name, ca, where):
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    pathlib.Path(folder, "ext").write_text(f"subjectAltName={where}\n", encoding="ascii")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-out", f"{name}.pem",
            "-days", "2", "-extfile", "ext")


class Run:
    def __init__(self, port):
        self.port, self.dir = port, tempfile.mkdtemp(prefix="meridian-secured-")
        self.passed = self.failed = 0
        self.redis, self.node = [], None
        self.target, self.users, self.tls, self.demands, self.elsewhere = port, port + 3, port + 4, port + 5, port + 6

    def check(self, good, what, *more):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(what, *[repr(m)[:600] for m in more], flush=True)

    def start_redis(self, port, *more):
        folder = f"{self.dir}/{port}"
        os.makedirs(folder)
        self.redis.append(subprocess.Popen(["redis-server", "--save", "", "--dir", folder, "--repl-diskless-sync-delay", "0", *more],
                                           stdout=open(f"{folder}/log", "wb")))
        wait_port(port)

    def start(self):
        d = self.dir
        for ca in ("ca", "other"):
            openssl(d, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN={ca}")
        certificate(d, "server", "ca", "IP:127.0.0.1,DNS:localhost")
        certificate(d, "named", "ca", "DNS:elsewhere.test")
        pathlib.Path(d, "users").write_text(USERS, encoding="ascii")
        tls = ["--tls-cert-file", f"{d}/server.pem", "--tls-key-file", f"{d}/server.key", "--tls-ca-cert-file", f"{d}/ca.pem"]
        self.start_redis(self.users, "--port", str(self.users), "--tls-port", str(self.tls), *tls, "--tls-auth-clients", "no", "--aclfile", f"{d}/users")
        self.start_redis(self.demands, "--port", str(self.port + 7), "--tls-port", str(self.demands), *tls)
        self.start_redis(self.elsewhere, "--port", "0", "--tls-port", str(self.elsewhere), "--tls-cert-file", f"{d}/named.pem", "--tls-key-file",
                         f"{d}/named.key", "--tls-ca-cert-file", f"{d}/ca.pem", "--tls-auth-clients", "no")
        with Client(self.users) as c:
            c.command("AUTH", "topsecret")
            c.command("SET", "who", "users")
        with Client(self.port + 7) as c:
            c.command("SET", "who", "demands")
        self.node = Node("secured.test", rest_port=self.port + 1, discovery_port=self.port + 2, flags=["--peers-ca", f"{d}/ca.pem", "--cert",
                         f"{d}/server.pem", "--key", f"{d}/server.key"])
        self.node.bootstrap()
        self.node.create_db("secured", self.target)

    def stop(self):
        for p in self.redis:
            p.kill()
            p.wait()
        if self.node:
            self.node.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def value(self):
        with Client(self.target) as c:
            got = c.command("GET", "who")
            c.command("FLUSHALL")
        return got

    def works(self, uri, want, *flags):
        p = subprocess.run([BINARY, "import", "--replica-of", uri, "--to", f"127.0.0.1:{self.target}", "--until-synced", "--quiet", *flags],
                           capture_output=True, text=True, timeout=30, cwd=self.dir)
        self.check(p.returncode == 0 and self.value() == want, f"{uri} {flags}", p.returncode, p.stderr)

    def fails(self, uri, text, *flags):
        """Ends by itself with the reason."""
        p = subprocess.run([BINARY, "import", "--replica-of", uri, "--to", f"127.0.0.1:{self.target}", "--until-synced", "--quiet", *flags],
                           capture_output=True, text=True, timeout=30, cwd=self.dir)
        self.check(p.returncode == 1 and text in p.stderr, f"{uri} {flags}: {text}", p.returncode, p.stderr)
        self.check(self.value() is None, f"{uri}: something is there")

    def says(self, uri, text, *flags, seconds=10):
        """Tries on, since it may pass, and says what may be the matter."""
        p = subprocess.Popen([BINARY, "import", "--replica-of", uri, "--to", f"127.0.0.1:{self.target}", *flags], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, cwd=self.dir)
        end, out = threading.Timer(seconds, p.kill), ""
        end.start()
        for line in p.stderr:
            out += line
            if text in line:
                break
        end.cancel()
        p.kill()
        p.wait()
        p.stderr.close()
        self.check(text in out, f"{uri} {flags}: {text}", out[-600:])
        self.value()

    def command_line(self):
        u, t, d = f"127.0.0.1:{self.users}", f"127.0.0.1:{self.tls}", f"127.0.0.1:{self.demands}"
        ca, own = ("--source-cacert", "ca.pem"), ("--source-cert", "server.pem", "--source-key", "server.key")
        self.works(f"redis://{REP}@{u}", b"users")
        self.works(f"redis://:topsecret@{u}/0", b"users")
        self.fails(f"redis://{u}", "wants a password")
        self.fails(f"redis://rep:wrong@{u}", "does not take user and password")
        self.fails(f"redis://weak:weak@{u}", "+psync +replconf +ping +info")
        self.says(f"redis://quiet:quiet@{u}", "its user may not INFO")
        self.works(f"rediss://{REP}@{t}", b"users", *ca)
        self.works(f"rediss://{REP}@localhost:{self.tls}", b"users", *ca)
        self.works(f"rediss://{REP}@{t}?insecure", b"users")
        self.works(f"rediss://{REP}@{t}", b"users", "--source-insecure")
        self.fails(f"rediss://{REP}@{t}", "is not trusted")
        self.fails(f"rediss://{REP}@{t}", "--source-cacert", "--source-cacert", "other.pem")
        self.fails(f"rediss://127.0.0.1:{self.elsewhere}", "IP address mismatch", *ca)
        self.works(f"rediss://{d}", b"demands", *ca, *own)
        self.says(f"rediss://{d}", "--source-cert", *ca)
        self.says(f"redis://{t}", "is TLS spoken at this port? Then rediss://")
        self.says(f"rediss://{u}", "Else redis://", *ca, seconds=20)

    def rest(self, uri, wanted, text=""):
        """`wanted`: of the source's status, or of replica_sync."""
        self.node.rest("PUT", "/v1/bdbs/1", {"replica_sources": [{"uri": uri}], "replica_sync": "enabled", "replica_flush": True})
        end, found = time.monotonic() + 15, {}
        while time.monotonic() < end:
            b = self.node.rest("GET", "/v1/bdbs/1")
            found = b["replica_sources"][0]
            if wanted in (found["status"], b["replica_sync"]) and text in found["text"]:
                break
            time.sleep(0.1)
        else:
            self.check(False, f"REST {uri}: {wanted} {text}", found)
            return
        self.check("re%25p" not in found["uri"] and "re%p" not in found["uri"], "a password shows", found)

    def over_rest(self):
        u, t, d = f"127.0.0.1:{self.users}", f"127.0.0.1:{self.tls}", f"127.0.0.1:{self.demands}"
        for uri, value in ((f"redis://{REP}@{u}", b"users"), (f"rediss://{REP}@{t}", b"users"), (f"rediss://{d}", b"demands"),
                           (f"rediss://127.0.0.1:{self.elsewhere}?insecure", None)):
            self.rest(uri, "in-sync")
            with Client(self.target) as c:
                self.check(c.command("GET", "who") == value, f"REST {uri}", value)
        self.rest(f"redis://rep:wrong@{u}", "stopped", "does not take user and password")
        self.rest(f"redis://weak:weak@{u}", "stopped", "may not replicate")
        self.rest(f"rediss://127.0.0.1:{self.elsewhere}", "stopped", "is not trusted")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=17990)
    run = Run(p.parse_args().port)
    try:
        run.start()
        run.command_line()
        run.over_rest()
    finally:
        run.stop()
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
