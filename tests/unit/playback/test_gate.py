"""The gate's table: what each policy opens for, and in which order it refuses."""

import pytest

from fastpix_server.keys.tokens import Claims
from fastpix_server.playback.gate import Allowed, Refused, Viewer, decide, is_open, status_of
from fastpix_server.playback.signed_path import Pass

NOW_S = 1_800_000_000
MEDIA = Claims("kid", frozenset({"media"}), NOW_S + 300)
DRM = Claims("kid", frozenset({"drm"}), NOW_S + 300)
BOTH = Claims("kid", frozenset({"media", "drm"}), NOW_S + 300)
PASSED = Pass(NOW_S + 300, "kid")
ONLY_EXAMPLE = {"domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}}
NO_CURL = {"userAgents": {"defaultPolicy": "allow", "allow": [], "deny": ["curl"]}}
AUDIENCE = Refused("token_audience")


@pytest.mark.parametrize("credential", [None, MEDIA, DRM, PASSED, Refused("token_expired"), Refused("path_signature")])
def test_a_public_id_is_open_whatever_is_brought(credential: object) -> None:
    assert decide("public", credential, {}, Viewer(), NOW_S) == Allowed()  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["private", "drm"])
def test_a_protected_id_opens_for_a_token_and_for_a_path_and_for_nothing_else(policy: str) -> None:
    def asks(credential: object) -> object:
        return decide(policy, credential, {}, Viewer(), NOW_S)  # type: ignore[arg-type]

    assert asks(MEDIA) == asks(BOTH) == asks(PASSED) == Allowed()
    assert asks(None) == Refused("token_missing")
    assert asks(Refused("token_signature")) == Refused("token_signature")
    assert asks(Refused("path_malformed")) == Refused("path_malformed")


@pytest.mark.parametrize(
    ("policy", "purpose", "claims", "expected"),
    [
        ("private", "media", DRM, AUDIENCE),
        ("drm", "media", DRM, Allowed()),
        ("drm", "drm", DRM, Allowed()),
        ("drm", "drm", BOTH, Allowed()),
        ("drm", "drm", MEDIA, AUDIENCE),
        ("private", "drm", MEDIA, AUDIENCE),
        ("drm", "drm", PASSED, Refused("token_missing")),
    ],
)
def test_the_audience_decides_what_a_token_opens(policy, purpose, claims, expected) -> None:
    assert decide(policy, claims, {}, Viewer(), NOW_S, purpose=purpose) == expected


def test_a_token_that_ran_out_since_it_was_looked_at_is_refused() -> None:
    assert decide("private", MEDIA, {}, Viewer(), NOW_S + 359) == Allowed()
    assert decide("private", MEDIA, {}, Viewer(), NOW_S + 360) == Refused("token_expired")


def test_a_path_has_no_leeway_for_both_its_ends_are_our_clock() -> None:
    assert decide("private", PASSED, {}, Viewer(), NOW_S + 299) == Allowed()
    assert decide("private", PASSED, {}, Viewer(), NOW_S + 300) == Refused("path_expired")


@pytest.mark.parametrize(
    ("policy", "credential"), [("public", None), ("private", MEDIA), ("drm", DRM), ("drm", PASSED)]
)
def test_restrictions_hold_for_every_policy_and_credential(policy, credential) -> None:
    good, bad = Viewer("example.com", "Mozilla"), Viewer("evil.org", "curl/8")
    assert decide(policy, credential, {**ONLY_EXAMPLE, **NO_CURL}, good, NOW_S) == Allowed()
    assert decide(policy, credential, ONLY_EXAMPLE, bad, NOW_S) == Refused("domain")
    assert decide(policy, credential, ONLY_EXAMPLE, Viewer(), NOW_S) == Refused("domain")
    assert decide(policy, credential, NO_CURL, bad, NOW_S) == Refused("user_agent")


def test_both_restrictions_must_pass() -> None:
    rules = {**ONLY_EXAMPLE, **NO_CURL}
    assert decide("public", None, rules, Viewer("example.com", "curl/8"), NOW_S) == Refused("user_agent")
    assert decide("public", None, rules, Viewer("evil.org", "Mozilla"), NOW_S) == Refused("domain")


def test_a_restriction_is_forbidden_and_everything_else_is_unauthorized() -> None:
    assert (status_of("domain"), status_of("user_agent")) == (403, 403)
    assert {status_of(r) for r in ("token_missing", "token_expired", "token_audience", "path_signature")} == {401}


def test_only_what_nobody_can_be_refused_is_open() -> None:
    assert is_open("public", {})
    assert not is_open("private", {})
    assert not is_open("drm", {})
    assert not is_open("public", ONLY_EXAMPLE)
    assert not is_open("public", NO_CURL)


@pytest.mark.parametrize(
    ("origin", "referer", "host"),
    [
        ("https://Example.com:8443", "https://other.net/", "example.com"),
        ("null", "https://example.com/page?x=1", "example.com"),
        ("", "https://example.com./", "example.com"),
        ("", "", ""),
        ("https://[broken", "", ""),
    ],
)
def test_the_page_is_known_by_origin_or_else_referer(origin: str, referer: str, host: str) -> None:
    assert Viewer.from_headers(origin=origin, referer=referer, user_agent="x").host == host
