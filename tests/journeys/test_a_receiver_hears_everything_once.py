"""A receiver that knows nothing of us but the contract hears every event of a running platform: once, in order."""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import footage
from tests.web_server import FileServer

PATIENCE_S = 90


class Receiver(http.server.ThreadingHTTPServer):
    """`heard`: (signature, exact bytes) of every POST but the probe."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, bytes]] = []
        self.probes: list[bytes] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            if body == b"{}":
                assert "FastPix-Signature" not in self.headers
                self.server.probes.append(body)
            else:
                self.server.heard.append((self.headers["FastPix-Signature"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


def test_a_receiver_hears_everything_once(platform: Any, receiver: Receiver) -> None:
    api = httpx.Client(base_url=f"{platform.base_url}/v1", auth=(platform.username, platform.password), timeout=60)
    made = api.post("/webhooks", json={"url": receiver.url}).json()["data"]
    webhook = f"/webhooks/{made['id']}"
    wait_for(lambda: api.get(webhook).json()["data"]["status"] == "active")
    expected: dict[str, list[str]] = {}
    for i in range(4):
        body = {"playbackSettings": {"accessPolicy": "public"}, "inputMediaSettings": {"metadata": {"n": str(i)}}}
        stream = api.post("/live/streams", json=body).json()["data"]["streamId"]
        for turn in range(4):
            assert api.patch(f"/live/streams/{stream}", json={"metadata": {"turn": str(turn)}}).status_code == 200
        assert api.delete(f"/live/streams/{stream}").status_code == 200
        expected[stream] = [f"video.live_stream.{what}" for what in ["created", *["updated"] * 4, "deleted"]]
    media = media_of(api)
    expected[media] = [f"video.media.{what}" for what in ("created", "ready", "deleted")]
    wait_for(lambda: len(about(receiver, expected)) >= sum(map(len, expected.values())))

    secret = base64.b64decode(made["signingSecret"])
    for signature, raw in receiver.heard:
        assert hmac.compare_digest(base64.b64encode(hmac.digest(secret, raw, hashlib.sha256)), signature.encode())
    bodies = about(receiver, expected)
    assert len({body["id"] for body in bodies}) == len(bodies)
    heard: dict[str, list[str]] = collections.defaultdict(list)
    for body in bodies:
        heard[body["object"]["id"]].append(body["type"])
    assert heard == expected
    turns = [body["data"]["metadata"]["turn"] for body in bodies if body["type"].endswith(".updated")]
    assert sorted(turns) == sorted("0123" * 4)
    for body in bodies:
        assert body["workspace"] == {"id": platform.credentials["workspaceId"], "name": "Development"}
        assert (body["attempts"], body["object"]["type"]) == ([], "live" if "live" in body["type"] else "media")
    [ready] = [body for body in bodies if body["type"] == "video.media.ready"]
    assert (ready["status"], ready["data"]["status"], ready["data"]["id"]) == ("media_ready", "ready", media)
    assert len(receiver.probes) == 1
    assert api.delete(webhook).status_code == 200


def about(receiver: Receiver, objects: Any) -> list[dict[str, Any]]:
    """Bodies of events of these; other journeys share the platform."""
    with receiver.lock:
        bodies = [json.loads(raw) for _, raw in receiver.heard]
    return [body for body in bodies if body["object"]["id"] in objects]


def media_of(api: httpx.Client) -> str:
    """Made from a URL, Ready, deleted."""
    source: Path = footage.bikes()
    with FileServer(source.parent) as server:
        asked = {"inputs": [{"type": "video", "url": server.url(source.name)}], "accessPolicy": "public"}
        media = api.post("/on-demand", json=asked).json()["data"]["id"]
        wait_for(lambda: api.get(f"/on-demand/{media}").json()["data"]["status"] == "Ready")
    assert api.delete(f"/on-demand/{media}").status_code == 200
    return str(media)


def wait_for(condition: Any) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)
