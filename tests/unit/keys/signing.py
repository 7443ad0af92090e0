"""Tokens good and bad, made without the code under test: the attacks are put together byte by byte."""

import base64
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fastpix_server.keys.model import KeyPair
from fastpix_server.keys.service import _make_pair

KID = "5c8cbb0d-6b3b-4d0a-9b5e-0f8c1d2e3f40"
PLAYBACK_ID = "0c9b4a1e-1111-4000-8000-00000000000a"
WORKSPACE_ID = "0c9b4a1e-2222-4000-8000-00000000000b"
# Tokens say that they were made now, whichever moment of the session a test calls now.
BEGUN_S = int(time.time())


@functools.cache
def pair(which: str = "ours") -> KeyPair:
    """One key per name and session: making one costs tens of milliseconds."""
    return _make_pair()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rs256(private_pem: str, message: bytes) -> bytes:
    return _loaded(private_pem).sign(message, padding.PKCS1v15(), hashes.SHA256())


@functools.cache
def _loaded(private_pem: str) -> rsa.RSAPrivateKey:
    """Once per key: reading one proves its primes, which takes a hundred times as long as a signature."""
    key = serialization.load_pem_private_key(private_pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def compact(header: object, payload: object, sign: Callable[[bytes], bytes]) -> str:
    """`header` and `payload` as JSON, or as they are when they are bytes."""
    parts = [b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)]
    message = ".".join(parts)
    return f"{message}.{b64(sign(message.encode()))}"


def claims(playback_id: str = PLAYBACK_ID, *, kid: str = KID, **changes: Any) -> dict[str, Any]:
    """What a good token says; a change to None takes the claim away."""
    now_s = int(time.time())
    made = {
        "kid": kid,
        "aud": f"media:{playback_id}",
        "iss": "fastpix.com",
        "sub": "",
        "iat": BEGUN_S,
        "exp": now_s + 300,
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def token(
    payload: Mapping[str, Any] | None = None,
    *,
    kid: str = KID,
    header: Mapping[str, Any] | None = None,
    key: KeyPair | None = None,
) -> str:
    said = {"alg": "RS256", "typ": "JWT", "kid": kid, **(header or {})}
    private_pem = (key or pair()).private_pem
    return compact(
        {name: value for name, value in said.items() if value is not None},
        dict(payload) if payload is not None else claims(kid=kid),
        lambda message: rs256(private_pem, message),
    )


def hs256_with_the_public_key(payload: Mapping[str, Any], *, kid: str, public_pem: str) -> str:
    """Algorithm confusion: the public key is no secret, so whoever takes it as one can be fooled."""
    return compact(
        {"alg": "HS256", "typ": "JWT", "kid": kid},
        dict(payload),
        lambda message: hmac.new(public_pem.encode(), message, hashlib.sha256).digest(),
    )


def unsigned(payload: Mapping[str, Any], *, kid: str) -> str:
    return compact({"alg": "none", "typ": "JWT", "kid": kid}, dict(payload), lambda _message: b"")


def attacks(
    playback_id: str, kid: str, key: KeyPair, *, other_kid: str, now_s: int, purpose: str = "media"
) -> dict[str, tuple[str, str]]:
    """Name -> (token, reason of its refusal) for everything that can be wrong with a token in itself."""
    aud = f"{purpose}:{playback_id}"

    def with_claims(**changes: Any) -> str:
        return token(claims(playback_id, kid=kid, **{"aud": aud, **changes}), kid=kid, key=key)

    good = claims(playback_id, kid=kid, aud=aud)
    head, body, signature = with_claims().split(".")
    none = b64(json.dumps({"alg": "none", "kid": kid}).encode())
    nameless = {k: v for k, v in good.items() if k != "kid"}
    twice = b'{"alg":"none","alg":"RS256","kid":"%s"}' % kid.encode()
    hs256 = hs256_with_the_public_key(good, kid=kid, public_pem=key.public_pem)
    forged = b64(json.dumps({**good, "exp": now_s + 10**6}).encode())
    return {
        "garbage": ("not-a-token", "token_malformed"),
        "binary garbage": ("\x00\xff.\n.é", "token_malformed"),
        "expired": (with_claims(exp=now_s - 61), "token_expired"),
        "not yet valid": (with_claims(nbf=now_s + 120), "token_not_yet_valid"),
        "issued in the future": (with_claims(iat=now_s + 120), "token_not_yet_valid"),
        "other media": (with_claims(aud=f"{purpose}:0c9b4a1e-1111-4000-8000-0000000000ff"), "token_audience"),
        "audience is a prefix": (with_claims(aud=f"{aud}x"), "token_audience"),
        "no audience": (with_claims(aud=None), "token_audience"),
        "no expiry": (with_claims(exp=None), "token_no_expiry"),
        "expiry is a text": (with_claims(exp=str(now_s + 300)), "token_claims"),
        "expiry is true": (with_claims(exp=True), "token_claims"),
        "expiry in milliseconds": (with_claims(exp=(now_s + 300) * 1000), "token_claims"),
        "algorithm none": (unsigned(good, kid=kid), "token_malformed"),
        "algorithm none, with a signature": (f"{none}.{body}.{signature}", "token_algorithm"),
        "algorithm in small letters": (token(good, kid=kid, key=key, header={"alg": "rs256"}), "token_algorithm"),
        "HS256 with the public key": (hs256, "token_algorithm"),
        "RS512": (token(good, kid=kid, key=key, header={"alg": "RS512"}), "token_algorithm"),
        "foreign key": (token(good, kid=kid, key=pair("foreign")), "token_signature"),
        "key inside the token": (
            token(good, kid=kid, key=pair("foreign"), header={"jwk": {"kty": "RSA", "n": "AQ", "e": "AQAB"}}),
            "token_signature",
        ),
        "changed after signing": (f"{head}.{forged}.{signature}", "token_signature"),
        "signature cut": (f"{head}.{body}.{signature[:-4]}", "token_signature"),
        "unknown kid": (token({**good, "kid": None}, kid=str(KID[:-1] + "9"), key=key), "token_key_unknown"),
        "kid of another key": (token({**good, "kid": None}, kid=other_kid, key=key), "token_signature"),
        "two kids": (token({**good, "kid": other_kid}, kid=kid, key=key), "token_kid_conflict"),
        "kid with a path": (token({**good, "kid": None}, kid="../../etc/passwd", key=key), "token_kid_malformed"),
        "kid with a path before it": (token({**good, "kid": None}, kid=f"../{kid}", key=key), "token_kid_malformed"),
        "kid with SQL": (token({**good, "kid": None}, kid=f"{kid}' or '1'='1", key=key), "token_kid_malformed"),
        "kid is a list": (token({**good, "kid": None}, header={"kid": [kid]}, key=key), "token_kid_malformed"),
        "no kid": (token(nameless, header={"kid": None}, key=key), "token_kid_missing"),
        "critical extension": (token(good, kid=kid, key=key, header={"crit": ["x"], "x": 1}), "token_malformed"),
        "name twice": (
            compact(twice, good, lambda m: rs256(key.private_pem, m)),
            "token_malformed",
        ),
        "oversized": (with_claims(note="x" * 4096), "token_oversized"),
        "deeply nested": (f"{b64(b'[' * 1500)}.{b64(b'[' * 1400)}.AA", "token_malformed"),
        "another workspace as subject": (with_claims(sub="0c9b4a1e-2222-4000-8000-0000000000ff"), "token_subject"),
    }  # fmt: skip


def good_twins(
    playback_id: str, kid: str, key: KeyPair, *, workspace_id: str, now_s: int, purpose: str = "media"
) -> dict[str, str]:
    """Name -> token that differs from an attack by what makes it good."""
    aud = f"{purpose}:{playback_id}"
    good = claims(playback_id, kid=kid, aud=aud)

    def with_claims(**changes: Any) -> str:
        return token(claims(playback_id, kid=kid, **{"aud": aud, **changes}), kid=kid, key=key)

    return {
        "plain": with_claims(),
        "expired within the leeway": with_claims(exp=now_s - 30),
        "not yet valid within the leeway": with_claims(nbf=now_s + 30, iat=now_s + 30),
        "audience in a list": with_claims(aud=["something", aud]),
        "expiry with a fraction": with_claims(exp=now_s + 300.5),
        "kid in the payload only": token(good, header={"kid": None}, key=key),
        "kid in the header only": token(good | {"kid": None}, kid=kid, key=key),
        "extra header": token(good, kid=kid, key=key, header={"x-own": "1"}),
        "no issuer, no subject, no issue time": with_claims(iss=None, sub=None, iat=None),
        "own workspace as subject": with_claims(sub=workspace_id.upper()),
        "a user's name as subject": with_claims(sub="user 12"),
        "groups": with_claims(groups=["a", "b"]),
        "as large as allowed": with_claims(note="x" * 2000),
    }
