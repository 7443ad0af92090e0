"""What the guide of the Python client shows works as it stands, and its reference is the one that is made."""

import base64
import contextlib
import hashlib
import hmac
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests import footage
from tools import make_reference

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "python.md").read_text()


def test_the_guide_runs_from_top_to_bottom(platform, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTPIX_USERNAME", platform.username)
    monkeypatch.setenv("FASTPIX_PASSWORD", platform.password)
    monkeypatch.setenv("FASTPIX_BASE_URL", f"{platform.base_url}/v1/")
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(footage.make("plain"), tmp_path / "holiday.mp4")
    shown: dict[str, Any] = {}
    output = io.StringIO()
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) >= 10
    with contextlib.redirect_stdout(output):
        for block in blocks:
            exec(compile(block, "docs/guide/python.md", "exec"), shown)
    text = output.getvalue()
    for expected in ("seconds\n", "100%", "['mediaId: is invalid']", "Holiday, cut", ".m3u8?token="):
        assert expected in text
    assert not (tmp_path / "holiday.upload").exists()
    secret = base64.b64encode(b"s" * 32).decode()
    body = json.dumps({"type": "video.media.ready", "object": {"type": "media", "id": "m"}, "id": "e"}).encode()
    signature = base64.b64encode(hmac.digest(b"s" * 32, body, hashlib.sha256)).decode()
    assert shown["receive"](body, {"FastPix-Signature": signature}, [secret]) == 200
    assert shown["receive"](body + b" ", {"FastPix-Signature": signature}, [secret]) == 401
    shown["client"].close()


@pytest.mark.parametrize("name", re.findall(r"`(?:await )?(?:AsyncFastPix\(\)|client)\.([a-z_.]+)", GUIDE))
def test_every_method_that_the_guide_names_exists(name):
    import fastpix

    with fastpix.FastPix(username="u", password="p") as client:
        value: Any = client
        for part in name.rstrip(".").split("."):
            value = getattr(value, part)


def test_the_reference_is_the_one_that_is_made() -> None:
    assert make_reference.PAGE.read_text() == make_reference.page(), "run: python -m tools.make_reference"
