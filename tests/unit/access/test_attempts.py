"""Guessing is slow, and nobody is locked out by somebody else's guesses."""

import pytest

from fastpix_server.access.attempts import (
    ADDRESS_BURST,
    ADDRESS_PER_S,
    ATTACKED_PAUSE_S,
    TOKEN_BURST,
    TOKEN_PLACES,
    Attempts,
)
from fastpix_server.base import errors


def guess(attempts: Attempts, name: str, address: str, now_s: float) -> bool:
    """A wrong pair; False when it was not even looked at."""
    try:
        attempts.was_wrong(attempts.begin(name, address, now_s=now_s), now_s=now_s)
    except errors.TooMany:
        return False
    return True


def test_an_address_gets_its_burst_of_guesses_and_then_ten_a_minute():
    attempts = Attempts()
    assert [guess(attempts, "a", "192.0.2.1", 0) for _ in range(ADDRESS_BURST + 1)] == [True] * ADDRESS_BURST + [False]
    with pytest.raises(errors.TooMany) as refused:
        attempts.begin("another", "192.0.2.1", now_s=0)
    assert refused.value.retry_after_s == 1 / ADDRESS_PER_S
    assert sum(guess(attempts, str(n), "192.0.2.1", now_s=n / 10) for n in range(600)) == 10 - 1
    assert guess(attempts, "a", "192.0.2.2", 0)


def test_all_addresses_of_an_ipv6_customer_are_one():
    attempts = Attempts()
    assert sum(guess(attempts, "a", f"2001:db8::{n:x}", 0) for n in range(100)) == ADDRESS_BURST


def test_guesses_that_are_under_way_count_so_that_many_at_once_gain_nothing():
    attempts = Attempts()
    begun = [attempts.begin("a", "192.0.2.1", now_s=0) for _ in range(ADDRESS_BURST)]
    with pytest.raises(errors.TooMany):
        attempts.begin("a", "192.0.2.1", now_s=0)
    for one in begun:
        attempts.was_right(one, now_s=0)
    attempts.begin("a", "192.0.2.1", now_s=0)


def attacked() -> Attempts:
    attempts = Attempts()
    for n in range(TOKEN_BURST):
        assert guess(attempts, "a", f"198.51.100.{n}", 0)
    return attempts


def test_an_attacked_token_still_hears_addresses_that_have_not_failed():
    attempts = attacked()
    for n in range(200):
        attempts.was_right(attempts.begin("a", f"203.0.113.{n}", now_s=0), now_s=0)
        attempts.was_right(attempts.begin("a", f"203.0.113.{n}", now_s=0), now_s=0)


def test_at_an_attacked_token_an_address_has_one_guess_a_minute_also_many_at_once():
    attempts = attacked()
    assert [guess(attempts, "a", "203.0.113.1", 0) for _ in range(3)] == [True, False, False]
    attempts.begin("a", "203.0.113.2", now_s=0)
    with pytest.raises(errors.TooMany) as refused:
        attempts.begin("a", "203.0.113.2", now_s=0)
    assert refused.value.retry_after_s == ATTACKED_PAUSE_S
    assert guess(attempts, "another", "203.0.113.1", 0)


def test_an_attack_that_stops_is_forgotten():
    attempts = attacked()
    later_s = TOKEN_BURST
    assert [guess(attempts, "a", "203.0.113.1", later_s) for _ in range(3)] == [True] * 3


def test_a_flood_of_made_up_names_neither_grows_nor_makes_an_attack_forgotten():
    attempts = attacked()
    for n in range(2 * TOKEN_PLACES):
        guess(attempts, f"made up {n}", f"2001:db8:{n % 65536:x}::1", 0)
    assert len(attempts._tokens._levels) <= TOKEN_PLACES
    assert guess(attempts, "a", "203.0.113.9", 0)
    assert not guess(attempts, "a", "203.0.113.9", 0)


def test_the_log_names_the_address_but_no_user_name_and_not_every_time(capsys):
    attempts = Attempts()
    for _ in range(ADDRESS_BURST + 50):
        guess(attempts, "perhaps-a-secret", "192.0.2.1", 0)
    said = "".join(capsys.readouterr())
    assert said.count("log_ins_slowed") <= 1
    assert "perhaps-a-secret" not in said
