"""Segments and manifests per second, private against public of the same media, and nginx with plain files as the limit.

All kinds take turns in short rounds, so that whatever else the machine does meets all of them.
"""

import base64
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.api.load import rate_per_s
from benchmarks.running import Running, free_port, platform
from benchmarks.table import Row
from benchmarks.vod.footage import lasting

ROUNDS = 5
ROUND_S = 0.7
SOURCE_S = 60
SEGMENTS = 8  # of each kind: enough that none is special, and soon made
AIM = 0.8


def rows() -> list[Row]:
    with platform(FASTPIX_HTTP_WORKERS="1", FASTPIX_BACKGROUND_FILL="off") as running, contextlib.ExitStack() as stack:
        media_id, public_id, _ = running.upload(lasting(SOURCE_S))
        public, private = f"/{public_id}.m3u8", _private_manifest(running, media_id)
        kinds: dict[str, tuple[str, list[str]]] = {}
        for rendition, what in (("a0", "sound"), ("480p", "480p")):
            for name, manifest in (("public", public), ("private", private)):
                paths = _segments(running.base_url, manifest, rendition)
                kinds[f"{what} {name}"] = running.base_url, paths
            static = stack.enter_context(_nginx(running, media_id, rendition))
            if static is not None:
                kinds[f"{what} nginx"] = static
        kinds["manifest public"] = running.base_url, [public]
        kinds["manifest private"] = running.base_url, [private]
        return _table(_measure(kinds))


def _measure(kinds: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for base_url, paths in kinds.values():
        rate_per_s(base_url, paths, ROUND_S / 2)  # the first round reads tables and files
    for number in range(ROUNDS):
        order = list(kinds.items())
        for name, (base_url, paths) in order if number % 2 else reversed(order):
            rates[name].append(rate_per_s(base_url, paths, ROUND_S))
    return rates


def _table(rates: Mapping[str, Sequence[float]]) -> list[Row]:
    out = []
    for what in ("sound", "480p"):
        out.append(_row(f"{what} segments, private", rates[f"{what} private"], "public", rates[f"{what} public"], AIM))
        if f"{what} nginx" in rates:
            out.append(
                _row(f"{what} segments, public", rates[f"{what} public"], "nginx, files", rates[f"{what} nginx"])
            )
    out.append(_row("multivariant playlists, private", rates["manifest private"], "public", rates["manifest public"]))
    return out


def _row(what: str, ours: Sequence[float], other: str, theirs: Sequence[float], aim: float | None = None) -> Row:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(
        what,
        f"{statistics.median(ours):,.0f}/s",
        f"{other} {statistics.median(theirs):,.0f}/s",
        ratio,
        "" if aim is None else f">= {aim}x",
        None if aim is None else ratio >= aim,
    )


def _private_manifest(running: Running, media_id: str) -> str:
    """Another, private id of the media; its manifest with a token."""
    with httpx.Client(base_url=running.base_url, auth=running.auth, timeout=60) as api:
        made = api.post("/v1/iam/signing-keys").raise_for_status().json()["data"]
        body = {"accessPolicy": "private"}
        answer = api.post(f"/v1/on-demand/{media_id}/playback-ids", json=body).raise_for_status()
        playback_id = answer.json()["data"]["id"]
    key = RSAKey.import_key(base64.b64decode(made["privateKey"]))
    claims = {"kid": made["id"], "aud": f"media:{playback_id}", "exp": int(time.time()) + 3600}
    token = jwt.encode({"alg": "RS256", "typ": "JWT", "kid": made["id"]}, claims, key, algorithms=["RS256"])
    return f"/{playback_id}.m3u8?token={token}"


def _segments(base_url: str, manifest: str, rendition: str) -> list[str]:
    """Paths of all segments, each asked for once so that it is stored."""
    master = httpx.get(base_url + manifest, timeout=60).raise_for_status().text
    playlist = next(f"/{p}" for p in re.findall(r"[^\s\"]+/index\.m3u8", master) if f"/{rendition}/" in p)
    lines = httpx.get(base_url + playlist, timeout=60).raise_for_status().text.splitlines()
    paths = [urljoin(playlist, line) for line in lines if line and line[0] != "#"][:SEGMENTS]
    for path in paths:
        httpx.get(base_url + path, timeout=60).raise_for_status()
    return paths


@contextlib.contextmanager
def _nginx(running: Running, media_id: str, rendition: str) -> Iterator[tuple[str, list[str]] | None]:
    """The same bytes as plain files; None without nginx."""
    stored = sorted((running.data_dir / "objects" / "media" / media_id).glob(f"*/{rendition}/*.m4s"))[:SEGMENTS]
    if shutil.which("nginx") is None or not stored:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="fastpix-bench-nginx-") as folder:
        port = free_port()
        user = "user root;" if os.getuid() == 0 else ""
        Path(folder, "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;"
            " events {} http { access_log off; sendfile on; keepalive_requests 1000000;"
            f" server {{ listen 127.0.0.1:{port}; root {stored[0].parent}; }} }}"
        )
        process = subprocess.Popen(["nginx", "-p", folder, "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}", [f"/{path.name}" for path in stored]
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(url: str) -> None:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return
        time.sleep(0.05)
    raise TimeoutError(url)
