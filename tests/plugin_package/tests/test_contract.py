"""The backend keeps the contract, and is found by its name."""

import pytest
from decompose_distill_echo import PREFIXES, EchoBackend

import decompose_distill as dd


@pytest.mark.parametrize("model", PREFIXES)
def test_the_backend_keeps_the_contract(model: str) -> None:
    dd.testing.check_backend(lambda: EchoBackend(model))


def test_the_backend_is_found_by_its_name() -> None:
    assert isinstance(dd.load_backend("echo:polite"), EchoBackend)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(dd.ConfigError, match="unknown model 'loud'; known: polite, plain"):
        dd.load_backend("echo:loud")
