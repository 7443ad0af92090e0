"""From an encoder to viewers and to a recording, on the whole running platform: real publishers over RTMP and SRT."""

import contextlib
import re
import subprocess
import time

import httpx
import pytest
from tests.publishers import Picture, Publishing, Target, publisher
from tests.running_platform import RunningPlatform

from fastpix_server.engine import binaries

WAIT_S = 60  # a busy machine; an idle one takes three
SMALL = Picture(width=320, height=180, fps=25, bitrate_bps=300_000, key_every_s=1.0)


class Owner:
    """Who owns a stream, at the API and in front of a player."""

    def __init__(self, platform: RunningPlatform, **settings: object) -> None:
        self.platform = platform
        self.http = httpx.Client(base_url=platform.base_url, auth=(platform.username, platform.password), timeout=60)
        self.viewer = httpx.Client(base_url=platform.base_url, timeout=60)
        body = {"playbackSettings": {"accessPolicy": "public"}, "inputMediaSettings": settings}
        answer = self.http.post("/v1/live/streams", json=body)
        assert answer.status_code == 201, answer.text
        self.stream = answer.json()["data"]
        self.path = f"/v1/live/streams/{self.stream['streamId']}"
        self.manifest = f"/{self.stream['playbackIds'][0]['id']}.m3u8"

    @property
    def target(self) -> Target:
        key = self.stream["streamKey"]
        return Target(
            rtmp=f"rtmp://127.0.0.1:{self.platform.rtmp_port}/live/{key}",
            rtmps=f"rtmps://127.0.0.1:{self.platform.rtmps_port}/live/{key}",
            srt_address=f"127.0.0.1:{self.platform.srt_port}",
            srt_stream_id=key,
            srt_passphrase=self.stream["srtSecret"],
        )

    def publisher(self, kind="rtmp") -> Publishing:
        return publisher(kind, self.target, SMALL)

    def read(self, path=""):
        return self.http.get(self.path + path).json()["data"]

    def do(self, verb: str) -> None:
        answer = self.http.put(f"{self.path}/{verb}")
        assert answer.status_code == 200, answer.text

    def until(self, condition, what):
        end = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                found = condition()
                if found:
                    return found
            assert time.monotonic() < end, f"waited in vain for {what}: {self.read()}\n{self.platform.log()[-3000:]}"
            time.sleep(0.1)

    def until_status(self, status: str) -> None:
        self.until(lambda: self.read()["status"] == status, status)

    def master(self) -> str:
        def ask():
            answer = self.viewer.get(self.manifest)
            return answer.text if answer.status_code == 200 else None

        return self.until(ask, "the manifest")

    def media_playlist(self) -> tuple[str, str]:
        """The source rung's URL and text."""
        path = next(line for line in self.master().splitlines() if "/source/index.m3u8" in line)
        url = f"/{path.lstrip('/')}"
        answer = self.viewer.get(url)
        assert answer.status_code == 200, answer.text
        return url, answer.text

    def parts(self) -> int:
        return len(re.findall(r"^#EXT-X-PART:|^#EXTINF:", self.media_playlist()[1], re.MULTILINE))

    def recording(self, count=1) -> list[dict]:
        """The recordings, Ready."""
        ids = self.until(
            lambda: found if len(found := self.read().get("mediaIds", [])) >= count else None, "the recording"
        )
        found = [self.http.get(f"/v1/on-demand/{media_id}").json()["data"] for media_id in ids]
        assert [m["status"] for m in found] == ["Ready"] * count
        return found


@pytest.mark.parametrize("kind", ["rtmp", "rtmps", "srt"])
def test_a_publish_is_watched_within_a_moment_and_is_a_recording_when_it_ends(platform, kind):
    owner = Owner(platform)
    refused = owner.viewer.get(owner.manifest)
    assert (refused.status_code, "ready" in refused.json()["error"]["message"]) == (400, True)
    with owner.publisher(kind):
        owner.until_status("active")
        assert "#EXT-X-STREAM-INF" in owner.master()
        url, text = owner.media_playlist()
        assert "#EXT-X-PART:" in text
        assert "CAN-BLOCK-RELOAD=YES" in text
        blocked = owner.viewer.get(url, params=_next(text))
        assert blocked.status_code == 200
        assert blocked.text != text
        init = owner.viewer.get(_beside(url, re.search(r'#EXT-X-MAP:URI="([^"]+)"', text)[1]))
        part = owner.viewer.get(_beside(url, re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', text)[-1]))
        assert init.content[4:8] == b"ftyp"
        assert part.content[4:8] in (b"moof", b"styp")
        assert "immutable" in part.headers["cache-control"]
        owner.until(lambda: owner.read("/viewer-count")["views"] >= 1, "a viewer")
        health = owner.until(lambda: owner.read("/health").get("health"), "health")
        assert health["bitrateBps"] >= 0
        assert owner.read("/health")["protocol"] == kind
    owner.do("finish")
    owner.until_status("idle")
    [media] = owner.recording()
    assert media["streamId"] == owner.stream["streamId"]
    assert media["duration"] > 1
    ended = owner.viewer.get(url)
    assert ended.status_code == 200
    assert "#EXT-X-ENDLIST" in ended.text
    recorded = owner.viewer.get(f"/{media['playbackIds'][0]['id']}.m3u8")
    assert recorded.status_code == 200


def test_an_encoder_that_comes_back_goes_on_in_the_same_session(platform):
    owner = Owner(platform)
    with owner.publisher():
        owner.until_status("active")
    owner.until(lambda: "reconnectUntil" in owner.read("/health"), "the reconnect window")
    assert owner.read()["status"] == "active"
    first = owner.read("/health")["sessionId"]
    with owner.publisher("srt"):
        owner.until(lambda: owner.read("/health").get("connections") == 2, "the second connection")
        owner.until(lambda: "#EXT-X-DISCONTINUITY\n" in owner.media_playlist()[1], "the discontinuity")
        assert owner.read("/health")["sessionId"] == first
    owner.do("finish")
    [media] = owner.recording()
    assert media["id"] == first


def test_an_encoder_is_sent_away_by_disable_and_refused_until_enable(platform):
    owner = Owner(platform)
    with owner.publisher() as publishing:
        owner.until_status("active")
        owner.do("live-disable")
        owner.until(lambda: not publishing.is_running, "the encoder's end")
    assert owner.read()["status"] == "disabled"
    assert len(owner.recording()) == 1
    with owner.publisher() as refused:
        assert refused.wait(WAIT_S) != 0
    owner.do("live-enable")
    with owner.publisher():
        owner.until_status("active")
        owner.until(lambda: owner.parts() > 3, "parts of the new session")
    owner.do("finish")
    assert len(owner.recording(2)) == 2


def test_a_deleted_stream_is_gone_for_encoder_and_viewers_and_its_recording_stays(platform):
    owner = Owner(platform)
    with owner.publisher() as publishing:
        owner.until_status("active")
        session_id = owner.read("/health")["sessionId"]
        assert owner.http.delete(owner.path).status_code == 200
        end = time.monotonic() + WAIT_S
        while publishing.is_running and time.monotonic() < end:
            time.sleep(0.1)
        assert not publishing.is_running
    assert owner.viewer.get(owner.manifest).status_code == 404
    end = time.monotonic() + WAIT_S
    while (media := owner.http.get(f"/v1/on-demand/{session_id}").json()["data"])["status"] != "Ready":
        assert time.monotonic() < end, media
        time.sleep(0.2)


def test_a_wrong_key_and_a_second_encoder_are_refused_and_the_first_goes_on(platform):
    owner = Owner(platform)
    with publisher("rtmp", Target(rtmp=owner.target.rtmp[:-1] + "x"), SMALL) as wrong:
        assert wrong.wait(WAIT_S) != 0
    with owner.publisher() as first:
        owner.until_status("active")
        with owner.publisher("srt") as second:
            assert second.wait(WAIT_S) != 0
        assert first.is_running
        assert owner.read("/health")["connections"] == 1
    owner.do("finish")


def test_a_stream_is_pushed_elsewhere_while_its_target_is_enabled(platform):
    owner, elsewhere = Owner(platform), Owner(platform)
    target = {"url": f"rtmp://127.0.0.1:{platform.rtmp_port}/live", "streamKey": elsewhere.stream["streamKey"]}
    made = owner.http.post(f"{owner.path}/simulcast", json=target).json()["data"]
    with owner.publisher("srt"):
        owner.until_status("active")
        elsewhere.until_status("active")
        elsewhere.until(lambda: elsewhere.parts() > 3, "what was pushed")
        one = f"{owner.path}/simulcast/{made['simulcastId']}"
        assert owner.http.put(one, json={"isEnabled": False}).status_code == 200
        elsewhere.until(lambda: "reconnectUntil" in elsewhere.read("/health"), "the end of the push")
        assert owner.read("/health")["isPublishing"]
        assert owner.http.put(one, json={"isEnabled": True}).status_code == 200
        elsewhere.until(lambda: elsewhere.read("/health").get("connections") == 2, "the push again")
    owner.do("finish")
    elsewhere.do("finish")


def test_a_running_stream_is_pulled_by_srt_with_its_own_secret(platform):
    owner = Owner(platform)
    pair = owner.stream["srtPlaybackResponse"]

    def pull(secret: str) -> int:
        """How many pictures an ordinary player reads."""
        url = (
            f"srt://127.0.0.1:{platform.srt_port}?mode=caller&streamid={pair['srtPlaybackStreamId']}"
            f"&passphrase={secret}&timeout=20000000"
        )
        command = [binaries.ffmpeg(), "-v", "error", "-i", url, "-map", "0:v", "-frames:v", "25", "-f", "framecrc", "-"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S)
        return len([line for line in done.stdout.splitlines() if line and line[0] != "#"])

    with owner.publisher():
        owner.until_status("active")
        assert pull(pair["srtPlaybackSecret"]) == 25
        assert pull(owner.stream["srtSecret"]) == 0
    owner.do("finish")


def test_the_whole_session_is_listed_for_those_who_ask_for_it(platform):
    owner = Owner(platform, enableDvrMode=True)
    with owner.publisher():
        owner.until_status("active")
        master = owner.viewer.get(f"{owner.manifest}?dvrMode=true").text
        path = next(line for line in master.splitlines() if "/source/index.m3u8" in line)
        assert "dvrMode=true" in path
        text = owner.viewer.get(f"/{path}").text
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text
        assert "#EXT-X-MEDIA-SEQUENCE:0\n" in text
        assert "#EXT-X-PLAYLIST-TYPE" not in owner.media_playlist()[1]
    owner.do("finish")


def test_a_killed_ingest_process_is_replaced_and_the_encoder_goes_on_in_the_same_session(platform):
    owner = Owner(platform)
    with owner.publisher() as publishing:
        owner.until_status("active")
        owner.until(lambda: owner.parts() > 8, "some media")
        session_id = owner.read("/health")["sessionId"]
        # What comes before the discontinuity: parts go with the process, segments that were recorded do not.
        owner.until(lambda: owner.http.get(f"/v1/on-demand/{session_id}").is_success, "a recorded segment")
        platform.role("ingest").kill()
        publishing.wait(WAIT_S)
    owner.until(lambda: "reconnectUntil" in owner.read("/health"), "the take-over")
    with owner.publisher():
        owner.until(lambda: owner.read("/health").get("connections") == 2, "the second connection")
        assert owner.read("/health")["sessionId"] == session_id
        owner.until(lambda: "#EXT-X-DISCONTINUITY\n" in owner.media_playlist()[1], "the discontinuity")
    owner.do("finish")
    [media] = owner.recording()
    assert media["id"] == session_id


def test_a_restarted_platform_goes_on_in_the_same_session_and_stops_in_time(platform):
    try:
        owner = Owner(platform)
        with owner.publisher():
            owner.until_status("active")
            session_id = owner.read("/health")["sessionId"]
            began_s = time.monotonic()
            platform.stop()
            assert platform.process.returncode == 0
            assert time.monotonic() - began_s < 20  # ten are promised to a machine that does nothing else
        platform.start()
        assert owner.read()["status"] == "active"
        with owner.publisher():
            owner.until(lambda: owner.read("/health").get("connections") == 2, "the second connection")
            assert owner.read("/health")["sessionId"] == session_id
        owner.do("finish")
        [media] = owner.recording()
        assert media["id"] == session_id
    finally:
        if platform.process.poll() is not None:
            platform.start()


def _next(text: str) -> dict[str, str]:
    """The delivery directives for what is not there yet."""
    first = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[1])
    finished = len(re.findall(r"^#EXTINF:", text, re.MULTILINE))
    tail = text.rpartition("#EXTINF:")[2]
    parts = len(re.findall(r"^#EXT-X-PART:", tail, re.MULTILINE))
    return {"_HLS_msn": str(first + finished), "_HLS_part": str(parts)}


def _beside(url: str, name: str) -> str:
    return url.partition("?")[0].rpartition("/")[0] + "/" + name
