"""What a token must be: each attack is refused for its own reason, and its good twin passes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.unit.keys import signing
from tests.unit.keys.signing import KID, PLAYBACK_ID, WORKSPACE_ID, claims, pair, token

from fastpix_server.keys import tokens
from fastpix_server.keys.tokens import Claims, Genuine, Peeked, Refused

NOW_S = int(time.time())
OTHER_KID = "5c8cbb0d-6b3b-4d0a-9b5e-0f8c1d2e3f41"
KEYS = {KID: pair().public_pem, OTHER_KID: pair("other").public_pem}
ATTACKS = signing.attacks(PLAYBACK_ID, KID, pair(), other_kid=OTHER_KID, now_s=NOW_S)
TWINS = signing.good_twins(PLAYBACK_ID, KID, pair(), workspace_id=WORKSPACE_ID, now_s=NOW_S)


def look(text: str, now_s: float = NOW_S) -> Claims | Refused:
    """All three steps, as the door takes them."""
    peeked = tokens.peek(text)
    if isinstance(peeked, Refused):
        return peeked
    if peeked.kid not in KEYS:
        return Refused("token_key_unknown")
    genuine = tokens.verify(text, KEYS[peeked.kid])
    if isinstance(genuine, Refused):
        return genuine
    return tokens.judge(genuine, playback_id=PLAYBACK_ID, workspace_id=WORKSPACE_ID, now_s=now_s)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_refused_for_its_own_reason(name: str) -> None:
    text, reason = ATTACKS[name]
    assert look(text) == Refused(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TWINS)
def test_every_good_twin_of_an_attack_passes(name: str) -> None:
    found = look(TWINS[name])
    assert isinstance(found, Claims)
    assert (found.kid, found.purposes) == (KID, {"media"})


@pytest.mark.parametrize(
    ("audience", "purposes"),
    [
        (f"drm:{PLAYBACK_ID}", {"drm"}),
        ([f"drm:{PLAYBACK_ID}", f"media:{PLAYBACK_ID}"], {"media", "drm"}),
    ],
)
def test_the_audience_says_what_a_token_is_for(audience: object, purposes: set[str]) -> None:
    found = look(token(claims(aud=audience)))
    assert isinstance(found, Claims)
    assert found.purposes == purposes


@pytest.mark.parametrize("audience", [{"media": PLAYBACK_ID}, 7, [[f"media:{PLAYBACK_ID}"]], PLAYBACK_ID, "*", []])
def test_an_audience_of_another_shape_is_nobodys(audience: object) -> None:
    assert look(token(claims(aud=audience))) == Refused("token_audience")


def test_a_token_lives_exactly_until_its_leeway_ends() -> None:
    text = token(claims(exp=NOW_S))
    assert isinstance(look(text, NOW_S + 59.9), Claims)
    assert look(text, NOW_S + 60) == Refused("token_expired")


def test_a_token_begins_exactly_when_its_leeway_begins() -> None:
    text = token(claims(nbf=NOW_S + 60, iat=NOW_S))
    assert look(text, NOW_S - 0.1) == Refused("token_not_yet_valid")
    assert isinstance(look(text, NOW_S), Claims)


def test_the_longest_token_is_peeked_at_and_a_longer_one_is_not() -> None:
    head, body, _ = token().split(".")
    at_limit = f"{head}.{body}.".ljust(tokens.TOKEN_MAX_CHARS, "A")
    assert isinstance(tokens.peek(at_limit), Peeked)
    assert tokens.peek(at_limit + "A") == Refused("token_oversized")


def test_tokens_of_a_common_library_are_taken_as_they_are() -> None:
    private = RSAKey.import_key(pair().private_pem)
    text = jwt.encode({"alg": "RS256", "typ": "JWT", "kid": KID}, claims(), private)
    assert isinstance(look(text), Claims)


def test_a_proof_is_of_the_payload_that_was_signed() -> None:
    said = claims(groups=["é", 1])
    found = tokens.verify(token(said), pair().public_pem)
    assert found == Genuine(KID, said)


B64 = st.text(alphabet="ABCZabcz0129-_", max_size=60)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(KID),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["kid", "alg", "aud", "exp", "x"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.one_of(
        st.text(max_size=200),
        st.tuples(B64, B64, B64).map(".".join),
        st.binary(max_size=90).map(lambda b: b.decode("latin-1")),
    )
)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert isinstance(look(text), Refused)


@given(JSONS, JSONS)
def test_no_unsigned_json_is_taken_for_a_token(header: object, payload: object) -> None:
    assert isinstance(look(signing.compact(header, payload, lambda _message: b"signature")), Refused)


@given(st.dictionaries(st.sampled_from(["aud", "exp", "nbf", "iat", "sub", "iss", "groups"]), JSONS))
def test_a_holder_of_the_key_opens_only_what_the_claims_clearly_say(payload: dict[str, object]) -> None:
    found = tokens.judge(Genuine(KID, payload), playback_id=PLAYBACK_ID, workspace_id=WORKSPACE_ID, now_s=NOW_S)
    if isinstance(found, Claims):
        assert payload["exp"] > NOW_S - 60  # type: ignore[operator]
        assert any(f"{purpose}:{PLAYBACK_ID}" in payload["aud"] for purpose in found.purposes)  # type: ignore[operator]


@given(st.integers(0, 10_000), st.characters())
def test_a_good_token_with_one_character_changed_is_refused(where: int, other: str) -> None:
    good = TWINS["plain"]
    where %= len(good)
    # The last character of each part carries spare bits, which mean nothing in any of its spellings.
    ends = {k - 1 for k, c in enumerate(good) if c == "."} | {len(good) - 1}
    if good[where] != other and where not in ends:
        assert isinstance(look(good[:where] + other + good[where + 1 :]), Refused)
