"""What the guides show works as it stands."""

import base64
import hashlib
import hmac
import re
from pathlib import Path

from tests.unit.keys.signing import KID, PLAYBACK_ID, WORKSPACE_ID, pair

from fastpix_server.ingest import rtp_recovery, whip, whip_model
from fastpix_server.keys import service, tokens
from fastpix_server.media import storage
from fastpix_server.playback import admission, cache, signed_path
from fastpix_server.webhooks import courier, jobs, post, schedule, schemas, signing
from fastpix_server.webhooks import service as webhooks

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "signed-playback.md").read_text()


def test_the_recipe_for_tokens_makes_tokens_that_open() -> None:
    [recipe] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    shown: dict[str, object] = {}
    exec(compile(recipe, "signed-playback.md", "exec"), shown)
    private_key = base64.b64encode(pair().private_pem.encode()).decode()
    text = shown["make_token"](KID, private_key, PLAYBACK_ID)  # type: ignore[operator]
    genuine = tokens.verify(text, pair().public_pem)
    assert isinstance(genuine, tokens.Genuine)
    expires_at_s = genuine.payload["exp"]
    found = tokens.judge(genuine, playback_id=PLAYBACK_ID, workspace_id=WORKSPACE_ID, now_s=expires_at_s - 3600)
    assert found == tokens.Claims(KID, frozenset({"media"}), expires_at_s)


def test_the_limits_that_the_guide_names_are_the_limits() -> None:
    assert f"at most {service.KEYS_MAX} keys" in GUIDE
    assert f"at most {tokens.TOKEN_MAX_CHARS} characters" in GUIDE
    assert f"differ by {tokens.LEEWAY_S} s" in GUIDE
    assert tokens.ALGORITHM in GUIDE
    assert (signed_path.ROUND_S, signed_path.BREAK_S, signed_path.PACE) == (3600, 3600, 2)  # decision 15


def test_the_limits_that_the_guide_of_whip_names_are_the_limits() -> None:
    guide = (ROOT / "docs" / "guide" / "whip.md").read_text()
    assert f"at most {whip_model.MAX_OFFER_BYTES} bytes" in guide
    assert f"({whip.MAX_SESSIONS} in each ingest process)" in guide
    assert f"connected after {whip.CONNECT_S:.0f} s" in guide
    assert f"sends nothing for {whip.SILENCE_S:.0f} s" in guide
    assert f"one every {rtp_recovery.KEY_EVERY_S:.0f} s, and at once after a loss" in guide


def test_the_recipe_for_webhooks_tells_a_genuine_delivery_from_others() -> None:
    guide = (ROOT / "docs" / "guide" / "webhooks.md").read_text()
    [recipe] = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    shown: dict[str, object] = {}
    exec(compile(recipe, "webhooks.md", "exec"), shown)
    is_genuine = shown["is_genuine"]
    key, body = signing.new_secret(), b'{"id":"e"}'
    ours, other = signing.show_secret(key), signing.show_secret(signing.new_secret())
    signature = signing.sign(key, body)
    assert signature == base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()
    assert is_genuine(body, signature, ours)  # type: ignore[operator]
    assert is_genuine(body, signature, other, ours)  # type: ignore[operator]
    assert not is_genuine(body + b" ", signature, ours)  # type: ignore[operator]
    assert not is_genuine(body, signature, other)  # type: ignore[operator]
    assert not is_genuine(body, "", ours)  # type: ignore[operator]


def test_the_limits_that_the_guide_of_webhooks_names_are_the_limits() -> None:
    guide = (ROOT / "docs" / "guide" / "webhooks.md").read_text()
    assert f"at most {webhooks.ENDPOINTS_MAX} webhooks" in guide
    assert f"within {post.TIMEOUT_S:.0f} s" in guide
    assert f"first {schedule.HOLD_TRIES} tries" in guide
    assert f"has {courier.PER_ENDPOINT} deliveries under way" in guide
    assert (
        f"After {schedule.DISABLE_FAILURES} failures in a row over at least {schedule.DISABLE_AFTER.days} days" in guide
    )
    assert f"more than {jobs.BACKLOG_MAX:,} deliveries" in guide
    assert f"newest {jobs.LOG_MAX:,}" in guide
    assert f"takes {webhooks.REPLAY_MAX:,} events a call" in guide
    assert (schemas.GRACE_S, schemas.GRACE_MAX_S) == (86_400, 7 * 86_400)  # "a day", "7 days"
    assert f"{signing.SECRET_BYTES} to {signing.SECRET_MAX_BYTES} bytes" in guide
    assert schedule.RETRY_S == (10, 60, 300, 1800, 7200, 21_600, 86_400)  # in words there


def test_the_limits_that_the_guides_of_storage_and_playlists_name_are_the_limits() -> None:
    stored, lists = ((ROOT / "docs" / "guide" / f"{name}.md").read_text() for name in ("storage", "playlists"))
    assert f"the {storage.TOP_MEDIA} largest" in " ".join(stored.split())
    assert f"until {cache.LOW_WATER:.0%} are left".replace("%", " %") in stored
    assert (cache.UNUSED_S, cache.NOTE_EVERY_S) == (420, 300)  # seven minutes, and decision 49
    assert f"most {admission.MAX_TOKENS}." in lists
