"""Token buckets by name: bounded, refilling, and fair when one is given back."""

from fastpix_server.base.buckets import Buckets


def test_what_is_given_back_can_be_taken_again_but_never_more_than_the_burst():
    buckets = Buckets(rate_per_s=0.5, burst=2)
    assert [buckets.take("a", now_s=0) for _ in range(3)] == [0, 0, 2]
    buckets.give_back("a", now_s=0)
    assert buckets.wait_s("a", now_s=0) == 0
    assert [buckets.take("a", now_s=0) for _ in range(2)] == [0, 2]
    for _ in range(5):
        buckets.give_back("a", now_s=0)
    assert [buckets.take("a", now_s=0) for _ in range(3)] == [0, 0, 2]


def test_asking_how_long_to_wait_takes_nothing():
    buckets = Buckets(rate_per_s=1, burst=1)
    assert [buckets.wait_s("a", now_s=0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", now_s=0) == 0
    assert [buckets.wait_s("a", now_s=0), buckets.wait_s("a", now_s=1)] == [1, 0]


def test_the_least_recently_used_is_forgotten_at_the_maximum():
    buckets = Buckets(rate_per_s=0.001, burst=1, buckets_max=2)
    for owner in ("a", "b", "a", "c"):
        buckets.take(owner, now_s=0)
    assert [buckets.wait_s(owner, now_s=0) > 0 for owner in "abc"] == [True, False, True]
