"""What is known of providers is written down once, and read where it is said to stand."""

import importlib.util
from pathlib import Path

import pytest

from decompose_distill.backends.openai.dialect import Dialect
from decompose_distill.backends.openai.providers import (
    PROVIDERS,
    Provider,
    provider_at,
    provider_named,
)
from decompose_distill.backends.openai.replies import AGAIN, LENGTH, STOP
from decompose_distill.errors import ConfigError
from decompose_distill.types import Message, Request, Sampling

ROOT = Path(__file__).parents[4]
each = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)


def body(provider: Provider, **sampling: object) -> dict[str, object]:
    request = Request("0", (Message("user", "hello"),), Sampling(**sampling))  # type: ignore[arg-type]
    return Dialect(provider).encode("some-model", request)


def test_names_and_hosts_are_one_providers_each() -> None:
    names = [provider.name for provider in PROVIDERS]
    hosts = [host for provider in PROVIDERS for host in provider.hosts]

    assert len({*names}) == len(names)
    assert len({*hosts}) == len(hosts)


@each
def test_a_provider_is_found_by_its_hosts_and_by_its_name(provider: Provider) -> None:
    assert provider_named(provider.name) is provider
    for host in provider.hosts:
        assert provider_at(f"name{host}" if host.startswith(".") else host) is provider


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "openai.com", "api.mistral.ai.example"])
def test_an_unknown_host_is_plain(host: str) -> None:
    assert provider_at(host).name == "plain"


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown provider 'gpt'; known: openai, .*, plain"):
        provider_named("gpt")


@each
def test_every_body_has_its_limit_and_only_what_was_set(provider: Provider) -> None:
    unset = body(provider, temperature=None, top_p=None, seed=None, max_new_tokens=9)

    assert unset == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "hello"}],
        provider.limit: 9,
    }


@each
def test_every_effort_is_written_and_none_is_another(provider: Provider) -> None:
    plain = body(provider).keys()
    low, none = (body(provider, reasoning_effort=effort) for effort in ("low", "none"))

    assert len(low.keys() - plain) == len(none.keys() - plain) == 1
    assert low != none


@each
def test_every_ending_is_one_that_is_read(provider: Provider) -> None:
    for reason in provider.finish_reasons:
        assert reason in STOP | LENGTH | AGAIN | {"content_filter"}


def test_the_budget_of_thinking_is_a_share_of_the_limit() -> None:
    anthropic = provider_named("anthropic")
    budgets = [
        body(anthropic, reasoning_effort=effort, max_new_tokens=10_000)["thinking"]
        for effort in ("low", "high")
    ]

    assert budgets == [{"type": "enabled", "budget_tokens": tokens} for tokens in (2000, 8000)]


def test_the_page_on_providers_is_current() -> None:
    spec = importlib.util.spec_from_file_location("providers", ROOT / "docs" / "providers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/providers.py"
