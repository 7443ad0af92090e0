"""Journey: by REST alone, from a workspace's DRM configuration to decrypted samples, over a whole running platform."""

import base64
import re
import time
import uuid
from urllib.parse import urljoin

import httpx
import pytest
from tests import footage
from tests.running_platform import RunningPlatform
from tests.unit.engine import cbcs
from tests.unit.keys.signing import claims, token
from tests.web_server import FileServer

from fastpix_server.keys.model import KeyPair


@pytest.mark.timeout(300)
def test_an_encrypted_media_is_created_licensed_and_decrypted_over_http(platform: RunningPlatform) -> None:
    auth = (platform.username, platform.password)
    with (
        FileServer(footage.bikes().parent) as files,
        httpx.Client(base_url=platform.base_url, timeout=60) as http,
    ):
        [configuration] = http.get("/v1/on-demand/drm-configurations", auth=auth).json()["data"]
        signing_key = http.post("/v1/iam/signing-keys", auth=auth).json()["data"]
        body = {"inputs": [{"type": "video", "url": files.url(footage.bikes().name)}], "accessPolicy": "drm"}
        assert http.post("/v1/on-demand", json=body, auth=auth).status_code == 422
        made = http.post("/v1/on-demand", json=body | {"drmConfigurationId": configuration["id"]}, auth=auth)
        playback_id = made.json()["data"]["playbackIds"][0]["id"]
        pem = base64.b64decode(signing_key["privateKey"]).decode()

        def signed(purpose: str) -> str:
            said = claims(playback_id, kid=signing_key["id"], aud=f"{purpose}:{playback_id}")
            return token(said, kid=signing_key["id"], key=KeyPair(pem, ""))

        url = f"/{playback_id}.m3u8?token={signed('media')}"
        end_s = time.monotonic() + 120
        while (master := http.get(url)).status_code != 200:
            assert (master.status_code, "ready" in master.text) == (400, True), master.text
            assert time.monotonic() < end_s
            time.sleep(0.2)
        assert http.get(f"/{playback_id}.m3u8").status_code == 401
        playlist_url = next(f"/{line}" for line in master.text.splitlines() if line and line[0] != "#")
        [key_id] = set(re.findall(r'URI="skd://([^"]+)"', http.get(playlist_url).text))
        init = http.get(urljoin(playlist_url, "init.mp4")).content
        segment = http.get(urljoin(playlist_url, "0.m4s")).content
        # The licence has the path of the API, and no Basic auth: a host named api. is the edge's here too.
        licence = f"/v1/on-demand/drm/license/clearkey/{playback_id}"
        kid = base64.urlsafe_b64encode(uuid.UUID(key_id).bytes).decode().rstrip("=")
        wanted = {"kids": [kid], "type": "temporary"}
        assert http.post(licence, json=wanted, params={"token": signed("media")}).status_code == 401
        assert http.post(licence, json=wanted, auth=auth).status_code == 401
        answer = http.post(
            licence, json=wanted, params={"token": signed("drm")}, headers={"Host": "api.video.example.com"}
        )
        [jwk] = answer.json()["keys"]
        key, samples = base64.urlsafe_b64decode(jwk["k"] + "=="), cbcs.samples(segment)
        pairs = cbcs.subsamples(segment, len(samples))
        found = cbcs.tenc(init)
        opened = [cbcs.decrypted(s, p, found, key) for s, p in zip(samples, pairs, strict=True)]
        second = http.post(
            f"/v1/on-demand/{made.json()['data']['id']}/playback-ids", json={"accessPolicy": "public"}, auth=auth
        )
        public = second.json()["data"]["id"]
        revision, rendition = playlist_url.split("/")[-3:-1]
        clear = http.get(f"/{public}/{revision}/{rendition}/0.m4s")
        assert clear.status_code == 200
        assert opened == cbcs.samples(clear.content)
        assert opened != samples
    said = platform.log()
    for secret in (key.hex(), jwk["k"], base64.b64encode(key).decode(), signed("drm")[-40:]):
        assert secret not in said
