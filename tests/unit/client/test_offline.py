"""Tokens, URLs and signatures that are made and checked without a request."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.unit.keys.signing import KID, PLAYBACK_ID, WORKSPACE_ID, pair

from fastpix import errors, playback_url, sign_playback_token, thumbnail_url, verify_webhook
from fastpix_server.keys import tokens

SECRET, OLD = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
BODY = json.dumps(
    {
        "type": "video.media.ready",
        "object": {"type": "media", "id": "m"},
        "id": "e",
        "workspace": {"id": "w", "name": "Development"},
        "status": "ready",
        "data": {"id": "m", "duration": "00:00:10"},
        "createdAt": "2025-01-17T05:52:14.088348957Z",
        "attempts": [{"attemptedAt": "2025-01-17T05:52:14Z", "responseStatus": 503}],
    }
).encode()


def signed(secret: str, body: bytes = BODY) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(secret), body, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("as_given", [True, False], ids=["base64", "pem"])
def test_a_token_opens_on_the_server_and_for_another_library(as_given):
    pem = pair().private_pem
    private_key = base64.b64encode(pem.encode()).decode() if as_given else pem
    text = sign_playback_token(signing_key_id=KID, private_key=private_key, playback_id=PLAYBACK_ID, expires_in_s=60)
    genuine = tokens.verify(text, pair().public_pem)
    assert isinstance(genuine, tokens.Genuine)
    claims = tokens.judge(genuine, playback_id=PLAYBACK_ID, workspace_id=WORKSPACE_ID, now_s=time.time())
    assert isinstance(claims, tokens.Claims)
    other = jwt.decode(text, RSAKey.import_key(pair().public_pem), algorithms=["RS256"])
    assert other.header == {"alg": "RS256", "typ": "JWT", "kid": KID}
    assert other.claims["aud"] == f"media:{PLAYBACK_ID}"
    assert other.claims["exp"] - other.claims["iat"] == 60


def test_claims_are_added_and_cannot_replace_what_the_token_says():
    text = sign_playback_token(
        signing_key_id=KID,
        private_key=pair().private_pem,
        playback_id=PLAYBACK_ID,
        audience="drm",
        claims={"groups": ["staff"], "exp": 9e9},
    )
    claims = jwt.decode(text, RSAKey.import_key(pair().public_pem), algorithms=["RS256"]).claims
    assert (claims["aud"], claims["groups"], claims["exp"] < 9e9) == (f"drm:{PLAYBACK_ID}", ["staff"], True)


def test_a_bad_key_is_refused_without_showing_it():
    for bad in ("secret!", base64.b64encode(b"secret").decode(), "-----BEGIN PRIVATE KEY-----\nsecret"):
        with pytest.raises(errors.NotConfigured) as caught:
            sign_playback_token(signing_key_id=KID, private_key=bad, playback_id=PLAYBACK_ID)
        assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="more than 0"):
        sign_playback_token(signing_key_id=KID, private_key="", playback_id=PLAYBACK_ID, expires_in_s=0)


def test_urls_follow_the_base_url(monkeypatch):
    monkeypatch.delenv("FASTPIX_BASE_URL", raising=False)
    assert playback_url("p") == "https://stream.fastpix.com/p.m3u8"
    assert thumbnail_url("p", format="webp", time=1.5, width=320) == (
        "https://images.fastpix.com/p/thumbnail.webp?time=1.5&width=320"
    )
    monkeypatch.setenv("FASTPIX_BASE_URL", "http://127.0.0.1:8080/v1/")
    assert playback_url("p", token="a.b.c", max_resolution="720p", dvr_mode=True, format="mpd") == (
        "http://127.0.0.1:8080/p.mpd?token=a.b.c&maxResolution=720p&dvrMode=true"
    )
    assert playback_url("p", base_url="https://api.video.example/v1", start=10, end=40, clip_access="private") == (
        "https://stream.video.example/p.m3u8?start=10&end=40&clipAccess=private"
    )
    assert thumbnail_url("../x", fit_mode="stretch") == "http://127.0.0.1:8080/..%2Fx/thumbnail.jpg?fit_mode=stretch"
    with pytest.raises(ValueError, match="empty"):
        playback_url("..")


def test_a_signed_webhook_is_read(monkeypatch):
    event = verify_webhook(BODY, signed(SECRET), secret=SECRET)
    assert (event.type, event.object.id, event.id, event.data["duration"]) == ("video.media.ready", "m", "e", 10.0)
    assert event.created_at is not None
    assert event.created_at.microsecond in (88348, 88349)
    assert event.attempts[0].response_status == 503
    monkeypatch.setenv("FASTPIX_WEBHOOK_SECRET", SECRET)
    assert verify_webhook(BODY, {"fastpix-signature": f" {signed(SECRET)} "}).id == "e"


def test_two_secrets_hold_while_one_replaces_the_other():
    for signer in (SECRET, OLD):
        assert verify_webhook(BODY, signed(signer), secret=[SECRET, OLD]).id == "e"
    with pytest.raises(errors.SignatureInvalid):
        verify_webhook(BODY, signed(OLD), secret=SECRET)


@pytest.mark.parametrize("signature", ["", "x", "é", signed(SECRET, BODY + b" "), signed(SECRET)[:-4], "A" * 44])
def test_another_signature_is_refused(signature):
    with pytest.raises(errors.SignatureInvalid):
        verify_webhook(BODY, signature, secret=[SECRET, OLD])


def test_no_header_no_secret_and_no_event_are_told_apart(monkeypatch):
    monkeypatch.delenv("FASTPIX_WEBHOOK_SECRET", raising=False)
    with pytest.raises(errors.SignatureInvalid, match="no header"):
        verify_webhook(BODY, {}, secret=SECRET)
    for missing in (None, "", [], [SECRET, ""], "not base64!"):
        with pytest.raises(errors.NotConfigured):
            verify_webhook(BODY, signed(SECRET), secret=missing)
    for body in (b"{}", b"\xff", b"[" * 100_000):
        with pytest.raises(errors.SignatureInvalid, match="no event"):
            verify_webhook(body, signed(SECRET, body), secret=SECRET)
