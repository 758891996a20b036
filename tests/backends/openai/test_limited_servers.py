"""What the rate control leaves of a limited server, in simulated time and on seeds of its own."""

from collections import Counter
from functools import cache
from statistics import median

import pytest

from tests.support.limited_servers import (
    LATENCIES,
    LimitedServer,
    ask,
    at_random,
    changing,
    down,
    fixed_window,
    free,
    sliding_window,
    token_bucket,
)

RATE = 60.0
"""Requests per second that the limits below let through."""


@pytest.mark.parametrize("latency", ["constant", "exponential", "heavy"])
def test_a_token_bucket_is_used_up_with_few_refusals(latency: str) -> None:
    server = ask(LimitedServer(token_bucket(), LATENCIES[latency], seed=7), 30)

    assert server.used(10, 30) > 0.95 * RATE
    assert server.refused_share(10, 30) < 0.05


def test_a_token_bucket_that_says_when_to_come_back_is_used_up() -> None:
    server = ask(LimitedServer(token_bucket(), hints=True, seed=7), 30)

    assert server.used(10, 30) > 0.95 * RATE
    assert server.refused_share(10, 30) < 0.1


@pytest.mark.parametrize("latency", ["constant", "exponential", "heavy"])
def test_a_window_of_fixed_length_is_used_after_the_first_one(latency: str) -> None:
    server = ask(LimitedServer(fixed_window(phase=0.3), LATENCIES[latency], seed=7), 47)

    assert server.used(7, 47) > 0.8 * RATE
    assert server.refused_share(7, 47) < 0.05
    assert max(Counter(map(int, server.refused)).values()) < 150  # nobody is hammered


def test_a_window_that_says_when_it_turns_is_used_and_nothing_sent_till_then() -> None:
    server = ask(LimitedServer(fixed_window(), hints=True, seed=7), 60)

    assert server.used(10, 60) > 0.9 * RATE
    assert server.refused_share(0, 60) < 0.05


def test_a_sliding_window_is_used() -> None:
    server = ask(LimitedServer(sliding_window(), seed=7), 60)

    assert server.used(10, 60) > 0.8 * RATE
    assert server.refused_share(10, 60) < 0.08


@cache
def served_freely(seed: int) -> int:
    return len(ask(LimitedServer(free, LATENCIES["long"], seed=seed), 10).served)


@pytest.mark.parametrize(("hints", "usual"), [(False, 0.9), (True, 0.8)])
@pytest.mark.parametrize("share", [0.01, 0.05])
def test_refusals_at_random_do_not_starve_a_run(share: float, hints: bool, usual: float) -> None:
    """Of eight runs one may be unlucky: early refusals look like a limit, and cost a short run."""
    kept = []
    for seed in range(3101, 3109):
        server = LimitedServer(at_random(share, seed), LATENCIES["long"], hints, seed)
        kept.append(len(ask(server, 10).served) / served_freely(seed))

    assert median(kept) > usual
    assert sorted(kept)[1] > 0.7


def test_a_limit_that_falls_or_rises_is_followed() -> None:
    falling = changing(token_bucket(), token_bucket(20, 10), at=20)
    rising = changing(token_bucket(20, 10), token_bucket(), at=20)

    assert ask(LimitedServer(falling, seed=7), 50).used(25, 50) > 0.9 * 20
    assert ask(LimitedServer(rising, seed=7), 70).used(60, 70) > 0.9 * RATE


def test_two_clients_share_a_limit_and_leave_nothing_of_it() -> None:
    server = ask(LimitedServer(token_bucket(), seed=7), 40, clients=2)

    assert server.used(10, 40) > 0.9 * RATE
    assert server.refused_share(10, 40) < 0.2


def test_a_server_that_refuses_everything_for_a_while_is_asked_little_and_then_as_before() -> None:
    server = ask(LimitedServer(down(5, 10), seed=7), 30)

    assert sum(6 <= moment < 10 for moment in server.refused) < 40
    assert server.used(20, 30) > 0.6 * server.used(2, 5)
