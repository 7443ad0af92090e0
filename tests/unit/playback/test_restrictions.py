"""Which websites and programs may ask: every trick beside its passing twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.playback import restrictions
from fastpix_server.playback.restrictions import Viewer, allows_user_agent, allows_viewer, host_of, is_restricting


def viewer(origin: str = "", referer: str = "", user_agent: str = "") -> Viewer:
    return Viewer.from_headers(origin=origin, referer=referer, user_agent=user_agent)


def only(*allow: str) -> dict[str, object]:
    return {"defaultPolicy": "deny", "allow": list(allow), "deny": []}


def but(*deny: str) -> dict[str, object]:
    return {"defaultPolicy": "allow", "allow": [], "deny": list(deny)}


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("example.com", "https://example.com"),
        ("example.com", "https://www.example.com"),
        ("example.com", "http://a.b.example.com:8443"),
        ("example.com", "https://EXAMPLE.com"),
        ("example.com", "https://example.com."),
        ("Example.COM.", "https://example.com"),
        (" https://example.com/ ", "https://example.com"),
        ("example.com:3000", "https://example.com"),
        ("*.example.com", "https://www.example.com"),
        ("*.example.com", "https://a.b.example.com"),
        ("bücher.example", "https://xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "https://www.BÜCHER.example"),
        ("*.bücher.example", "https://www.xn--bcher-kva.example"),
        ("localhost", "http://localhost:5173"),
        ("localhost", "capacitor://localhost"),
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("[::1]", "http://[0:0::1]:8080"),
        ("under_score.example", "https://under_score.example"),
        ("*", "https://anything.example"),
    ],
)
def test_a_page_on_the_list_may_play(entry: str, origin: str) -> None:
    assert allows_viewer(only(entry), viewer(origin))
    assert not allows_viewer(but(entry), viewer(origin))


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("example.com", "https://evil-example.com"),
        ("example.com", "https://evilexample.com"),
        ("example.com", "https://example.com.evil.org"),
        ("example.com", "https://example.co"),
        ("example.com", "https://examplescom"),
        ("example.com", "https://com"),
        ("www.example.com", "https://example.com"),
        ("*.example.com", "https://example.com"),
        ("*.example.com", "https://evil-example.com"),
        ("*.example.com", "https://x.example.com.evil.org"),
        ("127.0.0.1", "http://x.127.0.0.1"),
        ("*.0.0.1", "http://127.0.0.1"),
        ("ex*mple.com", "https://example.com"),
        ("", "https://example.com"),
        ("*.", "https://example.com"),
        (".", "https://example.com"),
        ("*.*.com", "https://a.example.com"),
        ("example.com/path", "https://example.com"),
        ("*", ""),
        ("example.com", ""),
        ("example.com", "null"),
    ],
)
def test_a_page_that_only_looks_like_it_may_not(entry: str, origin: str) -> None:
    assert not allows_viewer(only(entry), viewer(origin))


@pytest.mark.parametrize(
    "odd",
    [
        "https://example.com@evil.org",
        "https://evil.org@example.com",
        "https://user:pw@example.com",
        r"https://evil.org\@example.com",
        r"https://example.com\.evil.org",
        "https://example.com%2eevil.org",
        "https://example.com%00.evil.org",
        "https://evil.org#example.com",
        "https://evil.org?example.com",
        "https://example.com, https://evil.org",
        "https://example.com\thttps://evil.org",
        "https://exa mple.com",
        "example.com",
        "//example.com",
        "https://",
        "https:///example.com",
        "https://[::1",
        "https://[example.com]",
        "https://example..com",
        "https://.example.com",
        "https://*.example.com",
        "https://*",
        "https://example.com:port",
        "https://" + "a." * 130 + "example.com",
    ],
)
def test_what_no_browser_writes_is_refused_wherever_a_rule_is_in_force(odd: str) -> None:
    assert host_of(odd) == ""
    for asks in (viewer(odd), viewer(referer=odd), viewer(odd, "https://example.com/")):
        assert not allows_viewer(only("example.com"), asks)
        assert not allows_viewer(only("*"), asks)
        assert not allows_viewer(but("other.example"), asks)
        assert allows_viewer(but(), asks)
        assert allows_viewer(None, asks)


def test_the_origin_counts_before_the_referer_and_null_is_no_origin() -> None:
    assert allows_viewer(only("example.com"), viewer("https://example.com", "https://evil.org/"))
    assert not allows_viewer(only("example.com"), viewer("https://evil.org", "https://example.com/"))
    assert allows_viewer(only("example.com"), viewer("", "https://example.com/watch?v=1"))
    assert allows_viewer(only("example.com"), viewer("null", "https://example.com/watch?v=1"))
    assert not allows_viewer(only("example.com"), viewer("null"))


def test_a_list_that_is_not_the_policys_is_ignored() -> None:
    assert allows_viewer({"defaultPolicy": "allow", "allow": ["a.com"], "deny": []}, viewer("https://b.com"))
    assert allows_viewer({"defaultPolicy": "deny", "allow": ["a.com"], "deny": ["a.com"]}, viewer("https://a.com"))


def test_user_agents_are_parts_with_their_case() -> None:
    firefox = viewer(user_agent="Mozilla/5.0 (X11) Firefox/140")
    assert allows_user_agent(only("Firefox"), firefox)
    assert not allows_user_agent(only("firefox"), firefox)
    assert not allows_user_agent(but("Firefox"), firefox)
    assert allows_user_agent(but("firefox"), firefox)
    assert not allows_user_agent(only("Firefox"), viewer())
    assert allows_user_agent(but("Firefox"), viewer())


@pytest.mark.parametrize("rule", [7, "deny", ["example.com"], {"defaultPolicy": "maybe", "allow": ["a.com"]}])
def test_a_rule_that_cannot_be_understood_refuses(rule: object) -> None:
    assert is_restricting(rule)
    assert not allows_viewer(rule, viewer("https://example.com"))
    assert not allows_user_agent(rule, viewer(user_agent="x"))


def test_only_a_rule_that_can_refuse_somebody_is_restricting() -> None:
    assert is_restricting(only())
    assert is_restricting(but("a.com"))
    assert not is_restricting(but())
    assert not is_restricting(but(""))
    assert not is_restricting(None)
    assert not is_restricting({})


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_header_and_no_entry_makes_it_raise(header: str, entry: str) -> None:
    for asks in (viewer(header), viewer("https://" + header), viewer(referer=header)):
        allows_viewer(only(entry), asks)
        allows_viewer(but(entry), asks)


LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(st.lists(LABEL, min_size=1, max_size=4), st.lists(LABEL, min_size=2, max_size=3))
def test_a_bare_domain_is_matched_by_whole_labels_from_the_right(page: list[str], domain: list[str]) -> None:
    expected = page[-len(domain) :] == domain
    assert restrictions.matches_host(".".join(page), ".".join(domain)) is expected
    assert restrictions.matches_host(".".join([*page, *domain]), ".".join(domain))
