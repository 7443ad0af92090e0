"""Signed paths: one spelling, one version, one id, until one moment; and keys that change without an outage."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.playback import signed_path
from fastpix_server.playback.signed_path import Pass, PathKeys, Refused, derive, expiry_s

MASTER = bytes(range(32))
ID = "0c9b4a1e-1111-4000-8000-00000000000a"
KID = "5c8cbb0d-6b3b-4d0a-9b5e-0f8c1d2e3f40"
NOW_S = 1_800_000_000
KEYS = PathKeys(MASTER)
GOOD = KEYS.sign(ID, "abc123", NOW_S + 60, KID)


def test_a_pass_opens_until_its_expiry() -> None:
    assert KEYS.check(GOOD, ID, "abc123", NOW_S + 59) == Pass(NOW_S + 60, KID)
    assert KEYS.check(GOOD, ID, "abc123", NOW_S + 60) == Refused("path_expired")


def test_a_pass_without_a_signing_key_is_told_apart() -> None:
    text = KEYS.sign(ID, "abc123", NOW_S + 60, None)
    assert KEYS.check(text, ID, "abc123", NOW_S) == Pass(NOW_S + 60, None)


@pytest.mark.parametrize(
    ("playback_id", "revision"), [(ID[:-1] + "b", "abc123"), (ID, "abc124"), (ID, ""), (f"{ID}/x", "abc123")]
)
def test_a_pass_opens_no_other_id_and_no_other_version(playback_id: str, revision: str) -> None:
    assert KEYS.check(GOOD, playback_id, revision, NOW_S) == Refused("path_signature")


@pytest.mark.parametrize("part", range(3))
def test_no_part_of_a_pass_can_be_changed(part: int) -> None:
    parts = GOOD.split(".")
    parts[part] = ["2", str(NOW_S + 6000), signed_path._short(ID)][part]
    assert KEYS.check(".".join(parts), ID, "abc123", NOW_S) == Refused("path_signature")


def test_a_mac_has_one_spelling() -> None:
    last = GOOD[-1]
    others = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if c != last]
    assert {KEYS.check(GOOD[:-1] + c, ID, "abc123", NOW_S) for c in others} == {Refused("path_signature")}


@pytest.mark.parametrize(
    "text",
    ["", "1", "..", GOOD + "A", GOOD[:-1], " " + GOOD, GOOD + "\n", "0" + GOOD, "0" + GOOD[1:],
     GOOD.replace("1.", "1.+", 1), GOOD.replace("1.", "１.", 1), GOOD.replace(".", "/"), "../../x", GOOD.upper() + "é"],
)  # fmt: skip
def test_what_is_no_pass_is_malformed(text: str) -> None:
    assert KEYS.check(text, ID, "abc123", NOW_S) == Refused("path_malformed")


def test_a_machine_that_knows_the_key_can_check_a_pass_by_the_documented_rule() -> None:
    head, _, mac = GOOD.rpartition(".")
    digest = hmac.new(derive(MASTER, 1), f"{ID}/{head}/abc123".encode(), hashlib.sha256).digest()
    assert mac == base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def test_the_key_changes_step_by_step_without_an_outage() -> None:
    first, second, third = (PathKeys(MASTER, n) for n in (1, 2, 3))
    old, new, newest = (k.sign(ID, "r", NOW_S + 60, KID) for k in (first, second, third))
    assert len({old, new, newest}) == 3
    for keys, text in ((first, new), (second, old), (second, newest), (third, new)):
        assert isinstance(keys.check(text, ID, "r", NOW_S), Pass)
    assert third.check(old, ID, "r", NOW_S) == Refused("path_key_unknown")
    assert first.check(newest, ID, "r", NOW_S) == Refused("path_key_unknown")


def test_another_master_key_signs_other_paths() -> None:
    assert PathKeys(bytes(32)).check(GOOD, ID, "abc123", NOW_S) == Refused("path_signature")
    assert PathKeys.random().check(GOOD, ID, "abc123", NOW_S) == Refused("path_signature")


@pytest.mark.parametrize("number", [0, -1, 10_000])
def test_a_number_outside_its_bounds_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="number of the path key"):
        PathKeys(MASTER, number)


@pytest.mark.parametrize("number", [1, 9999])
def test_the_first_and_the_last_number_sign(number: int) -> None:
    keys = PathKeys(MASTER, number)
    assert isinstance(keys.check(keys.sign(ID, "r", NOW_S + 1, None), ID, "r", NOW_S), Pass)


@given(st.floats(0, 43_200), st.integers(NOW_S, NOW_S + 10**8))
def test_a_pass_lasts_for_the_whole_video_at_half_speed_and_an_hour_more(duration_s: float, now_s: int) -> None:
    end_s = expiry_s(duration_s, now_s)
    assert end_s % 3600 == 0
    assert 0 <= end_s - (now_s + 2 * duration_s + 3600) < 3600


def test_viewers_of_the_same_hour_share_their_urls() -> None:
    begin_s = NOW_S - NOW_S % 3600
    assert len({expiry_s(600, begin_s + minute * 60) for minute in range(60)}) == 2


@given(st.text(max_size=80) | st.from_regex(signed_path._PASS, fullmatch=True))
def test_no_text_is_a_pass_by_chance_and_none_makes_it_raise(text: str) -> None:
    assert isinstance(KEYS.check(text, ID, "abc123", NOW_S), Refused)


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_a_pass_with_one_character_changed_is_refused(where: int, other: str) -> None:
    if GOOD[where] != other:
        assert isinstance(KEYS.check(GOOD[:where] + other + GOOD[where + 1 :], ID, "abc123", NOW_S), Refused)
