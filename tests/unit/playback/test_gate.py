import pytest

from fastpix_server.playback.gate import Allowed, Refused, Viewer, decide


def restrictions(**rules: object) -> dict[str, object]:
    return dict(rules)


def only(*allow: str) -> dict[str, object]:
    return {"defaultPolicy": "deny", "allow": list(allow), "deny": ["ignored.example"]}


def but(*deny: str) -> dict[str, object]:
    return {"defaultPolicy": "allow", "allow": ["ignored.example"], "deny": list(deny)}


def test_a_public_id_without_restrictions_is_open_to_everybody() -> None:
    assert decide("public", {}, Viewer()) == Allowed()


@pytest.mark.parametrize("policy", ["private", "drm"])
def test_a_protected_id_is_refused_without_a_token(policy: str) -> None:
    assert decide(policy, {}, Viewer(host="example.com")) == Refused("token_missing")  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["example.com", "www.example.com", "a.b.example.com"])
def test_an_allowed_domain_stands_for_its_subdomains(host: str) -> None:
    assert decide("public", restrictions(domains=only("example.com")), Viewer(host=host)) == Allowed()


@pytest.mark.parametrize("host", ["", "badexample.com", "example.com.evil.net", "ignored.example"])
def test_a_host_outside_the_allowed_list_is_refused(host: str) -> None:
    assert decide("public", restrictions(domains=only("example.com")), Viewer(host=host)) == Refused("domain")


def test_a_star_means_subdomains_but_not_the_name_itself() -> None:
    rules = restrictions(domains=only("*.example.com"))
    assert decide("public", rules, Viewer(host="cdn.example.com")) == Allowed()
    assert decide("public", rules, Viewer(host="example.com")) == Refused("domain")


def test_a_denied_domain_is_refused_and_every_other_passes() -> None:
    rules = restrictions(domains=but("evil.net"))
    assert decide("public", rules, Viewer(host="www.evil.net")) == Refused("domain")
    assert decide("public", rules, Viewer(host="good.net")) == Allowed()
    assert decide("public", rules, Viewer(host="")) == Allowed()


def test_user_agents_are_case_sensitive_parts_of_the_text() -> None:
    rules = restrictions(userAgents=but("curl"))
    assert decide("public", rules, Viewer(user_agent="curl/8.5")) == Refused("user_agent")
    assert decide("public", rules, Viewer(user_agent="Curl/8.5")) == Allowed()


def test_an_empty_entry_does_not_match_every_user_agent() -> None:
    assert decide("public", restrictions(userAgents=but("")), Viewer(user_agent="Mozilla")) == Allowed()
    assert decide("public", restrictions(userAgents=only("")), Viewer(user_agent="Mozilla")) == Refused("user_agent")


def test_both_checks_must_pass() -> None:
    rules = restrictions(domains=only("example.com"), userAgents=only("Mozilla"))
    assert decide("public", rules, Viewer("example.com", "Mozilla/5.0")) == Allowed()
    assert decide("public", rules, Viewer("example.com", "wget")) == Refused("user_agent")


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
