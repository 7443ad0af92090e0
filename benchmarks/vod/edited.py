"""From the request to Ready: a media made of one of ours as it is, and edited; a long one against a short one."""

import statistics
import time
from typing import Any

import httpx

from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import lasting

ROUNDS = 3
LENGTHS_S = (60, 600)


def _made_s(running: Running, api: httpx.Client, body: dict[str, Any]) -> float:
    begin = time.perf_counter()
    made = api.post("/v1/on-demand", json=body).json()["data"]
    running.wait_until_ready(api, made["id"])
    ready_s = time.perf_counter() - begin
    running.delete(made["id"])
    return ready_s


def rows(running: Running) -> list[Row]:
    out = []
    for length_s in LENGTHS_S:
        media_id, _, _ = running.upload(lasting(length_s))
        own = f"fp_mediaId://{media_id}"
        plain = {"inputs": [{"type": "video", "url": own}]}
        cuts = {"startTime": 5, "endTime": length_s - 5, "expungeSegments": ["10-12", "20-22.5"]}
        joins = {"introUrl": own, "outroUrl": own, "segments": [{"url": own, "insertAt": 30}]}
        edits = {
            "cut": {"inputs": [{"type": "video", "url": own, **cuts}]},
            "cut and joined": {"inputs": [{"type": "video", "url": own, **cuts, **joins}]},
            "with loudness": {"inputs": [{"type": "video", "url": own}], "optimizeAudio": True},
        }
        with httpx.Client(base_url=running.base_url, auth=running.auth, timeout=120) as api:
            usual = statistics.median(_made_s(running, api, plain) for _ in range(ROUNDS))
            for name, body in edits.items():
                took = statistics.median(_made_s(running, api, body) for _ in range(ROUNDS))
                out.append(
                    Row(
                        f"request to Ready, {length_s // 60} min, {name}",
                        f"{1000 * took:.0f} ms",
                        f"as it is {1000 * usual:.0f} ms",
                        took / usual,
                    )
                )
    return out
