"""Jobs of a whole platform whose worker is killed in the middle of one."""

import http.server
import threading
from collections.abc import Iterator

import httpx
import pytest
from tests.running_platform import RunningPlatform

STARTED_WITHIN_S = 90


class _Slow(http.server.BaseHTTPRequestHandler):
    """A source that sends a little and then waits until the test lets it go on."""

    gate = threading.Event()
    asked = threading.Semaphore(0)

    def log_message(self, format: str, *args: object) -> None:
        return None

    def do_GET(self) -> None:
        type(self).asked.release()
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"\0\0\0\x18ftypisom" + bytes(1000))
        self.wfile.flush()
        self.gate.wait(60)


@pytest.fixture
def slow_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/video.mp4"
    _Slow.gate.set()
    server.shutdown()
    server.server_close()


def test_a_job_whose_worker_was_killed_begins_again_by_itself(shared: RunningPlatform, slow_url: str):
    try:
        with httpx.Client(base_url=shared.base_url, auth=(shared.username, shared.password), timeout=30) as api:
            body = {"inputs": [{"type": "video", "url": slow_url}], "accessPolicy": "public"}
            media_id = api.post("/v1/on-demand", json=body).raise_for_status().json()["data"]["id"]
            assert _Slow.asked.acquire(timeout=STARTED_WITHIN_S), "the fetch did not begin"
            shared.role("worker").kill()
            # Found dead after 7 to 8.5 s; the rest is the restart of the worker on a busy machine.
            assert _Slow.asked.acquire(timeout=STARTED_WITHIN_S), "the fetch did not begin again"
            assert api.get(f"/v1/on-demand/{media_id}").json()["data"]["status"] == "Downloading"
    finally:
        _Slow.gate.set()
