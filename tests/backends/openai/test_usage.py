"""What a reply bills, by its `usage`: never less than the provider asks for."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.backends.openai.providers import Provider, provider_named
from decompose_distill.backends.openai.replies import decode, read_usage
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.types import Completion, Message, Request, Sampling, Usage
from tests.support.fake_server import chat

PLAIN = provider_named("plain")
ASKED = Request("0", (Message("user", "What is 2 + 3?"),), Sampling(max_new_tokens=400))
MOST_READ = most_tokens(ASKED).input_tokens


def usage(counts: Any, provider: Provider = PLAIN, spoke: bool = True) -> Usage:
    return read_usage(counts, ASKED, provider, spoke)


def thought(tokens: Any) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


def cached(tokens: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": {"cached_tokens": tokens}}


def counts(read: Any, written: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    """A usage without the parts that are `...`."""
    parts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}
    return {name: part for name, part in parts.items() if part is not ...} | more


@pytest.mark.parametrize(
    ("given", "read", "written"),
    [
        # Thinking inside of completion_tokens, outside of them, and in the total alone.
        (counts(200, 100, 300, **thought(70)), 200, 100),
        (counts(200, 30, 300, **thought(70)), 200, 100),
        (counts(200, 30, 300), 200, 100),
        (counts(200, 30, **thought(70)), 200, 100),
        (counts(200, 100, 300, reasoning_tokens=70), 200, 100),
        (counts(200, 100, 250), 200, 100),
        # One half and the total.
        (counts(200, ..., 230), 200, 30),
        (counts(200, None, 230), 200, 30),
        (counts(..., 30, 230), 200, 30),
        (counts(None, 30, 230), 200, 30),
        (counts(200, True, 230), 200, 30),
        (counts(200, -5, 230), 200, 30),
        # Half of it alone.
        (counts(200, ...), 200, 400),
        (counts(200, None), 200, 400),
        (counts(200, "many"), 200, 400),
        (counts(200, -1), 200, 400),
        (counts(200, True), 200, 400),
        (counts(200, 0, 200), 200, 400),
        (counts(200, 10**30), 200, 400),
        (counts(200, float("inf")), 200, 400),
        (counts(200, float("nan")), 200, 400),
        (counts(200, None, 150), 200, 400),
        (counts(200, None, **thought(900)), 200, 900),
        (counts(..., 30), MOST_READ, 30),
        (counts(0, 30), MOST_READ, 30),
        # Other ways to write numbers.
        (counts(200.0, 30.0, 230.0), 200, 30),
        (counts("200", "30", "230"), 200, 30),
        (counts("200.0", "30.", None), 200, 30),
        (counts(200, 29.5), 200, 30),
        ({"prompt_cache_hit_tokens": 150, "prompt_cache_miss_tokens": 50,
          "completion_tokens": 30}, 200, 30),
        # Anthropic's own names, which count the cache apart.
        ({"input_tokens": 200, "output_tokens": 30}, 200, 30),
        ({"input_tokens": 40, "cache_read_input_tokens": 150,
          "cache_creation_input_tokens": 10, "output_tokens": 30}, 200, 30),
        ({"input_tokens": 200}, 200, 400),
    ],
)  # fmt: skip
def test_output_is_all_that_is_billed_and_what_is_not_known_is_the_most_it_can_be(
    given: Any, read: int, written: int
) -> None:
    result = usage(given)

    assert (result.input_tokens, result.output_tokens) == (read, written)


@pytest.mark.parametrize(
    "given",
    [None, [], {}, "many", counts(0, 0, 0), counts(None, None, None), counts(True, -1),
     counts(..., ..., 300)],
)  # fmt: skip
def test_where_nothing_is_known_nothing_is_said(given: Any) -> None:
    assert usage(given) == Usage()


def test_who_counts_thinking_apart_is_known() -> None:
    apart = counts(200, 100, **thought(70))

    assert usage(apart).output_tokens == 100
    assert usage(apart, provider_named("xai")).output_tokens == 170


def test_an_empty_answer_may_have_cost_nothing() -> None:
    assert usage(counts(200, 0, 200), spoke=False) == Usage(200, 0)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (cached(150), 150),
        ({"prompt_cache_hit_tokens": 150, "prompt_cache_miss_tokens": 50}, 150),
        (cached(150) | {"prompt_cache_hit_tokens": 150}, 150),
        ({"input_tokens": 50, "cache_read_input_tokens": 150, "output_tokens": 30}, 150),
        (cached(999), 200),
        (cached(None), 0),
        (cached(-1), 0),
        ({"prompt_tokens_details": None}, 0),
        ({"prompt_tokens_details": [150]}, 0),
    ],
)
def test_cached_input_is_part_of_the_input(given: Any, found: int) -> None:
    assert usage(counts(200, 30, 230, **given)) == Usage(200, 30, cached_tokens=found)


@pytest.mark.parametrize(
    ("given", "found"),
    [(thought(20), 20), ({"reasoning_tokens": 20}, 20), (thought(None), 0), (thought("x"), 0)],
)
def test_thinking_is_part_of_the_output(given: Any, found: int) -> None:
    assert usage(counts(200, 30, 230, **given)) == Usage(200, 30, reasoning_tokens=found)


def completed(given: Any, provider: Provider = PLAIN) -> Completion:
    return decode(ASKED, {**chat("5"), "usage": given}, Secret(), "a server", provider)


@pytest.mark.parametrize(
    ("given", "usd"),
    [
        ({"cost": 0.00123}, "0.00123"),
        ({"cost": "0.00123"}, "0.00123"),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}},
         "0.021"),
        ({"cost": 0.001, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.001}},
         "0.001"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ({"cost": 0}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "free"}, None),
        ({"cost": float("nan")}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_what_the_provider_says_it_bills_is_kept(given: Any, usd: str | None) -> None:
    completion = completed(counts(200, 30, 230, **given))

    assert completion.billed_usd == (Decimal(usd) if usd else None)


def test_a_model_that_is_free_is_believed_to_be_where_costs_are_told() -> None:
    free = counts(200, 30, 230, cost=0)

    assert completed(free, provider_named("openrouter")).billed_usd == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = (
    "prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cost", "is_byok",
    "prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "prompt_tokens_details",
    "completion_tokens_details", "cost_details", "cost_in_usd_ticks",
)  # fmt: skip
COUNTS = st.dictionaries(st.sampled_from(NAMES), ANYTHING | st.integers(0, 1000))


@given(ANYTHING | COUNTS)
def test_any_usage_is_read_and_no_part_is_more_than_the_whole(given: Any) -> None:
    completion = completed(given)
    result = completion.usage

    assert 0 <= result.cached_tokens <= result.input_tokens
    assert 0 <= result.reasoning_tokens <= result.output_tokens
    assert (result == Usage()) == (not result.input_tokens and not result.output_tokens)
    assert completion.billed_usd is None or completion.billed_usd >= 0


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 500))
def test_all_ways_to_count_thinking_bill_the_same(read: int, spoken: int, thinking: int) -> None:
    total = read + spoken + thinking
    ways = [
        counts(read, spoken + thinking, total, **thought(thinking)),
        counts(read, spoken, total, **thought(thinking)),
        counts(read, spoken, total),
        counts(read, ..., total),
        counts(..., spoken + thinking, total),
        json.loads(json.dumps(counts(float(read), float(spoken), float(total)))),
    ]

    assert {(usage(way).input_tokens, usage(way).output_tokens) for way in ways} == {
        (read, spoken + thinking)
    }
