"""What is to be known of a backend is read in one place, in its old form and its new one."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    BackendInfo,
    Completion,
    ConfigError,
    Decomposer,
    Message,
    Price,
    Request,
    Sampling,
    Solver,
    Usage,
    load_backend,
)
from decompose_distill.backend import identity, info_of
from decompose_distill.backends.caching import CachingBackend, CompletionStore, request_key
from decompose_distill.backends.metering import MeteredBackend
from decompose_distill.cost.ledger import Ledger
from decompose_distill.cost.pricing import FREE, price_of


class Echo:
    """Answers with its prompt."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            yield Completion(request.id, request.messages[-1].content, usage=Usage(1, 1))


class Told(Echo):
    """Says all of itself at once."""

    info = BackendInfo(identity="told 1", model="m", price=FREE, batch=True, max_new_tokens=8192)


class Attributes(Echo):
    """Says it as backends did before there was an `info`."""

    identity, model, price, batch = "old 1", "m", FREE, True
    max_attempts, max_in_flight = 3, 8


class Otherwise(Echo):
    """Has attributes of the same names that mean something else."""

    model, batch, max_attempts, price = object(), 16, "many", 0.5


def test_attributes_of_today_go_on_being_read() -> None:
    assert info_of(Attributes()) == BackendInfo(
        identity="old 1", model="m", price=FREE, batch=True, max_attempts=3, max_in_flight=8
    )
    assert info_of(Told()) == Told.info


def test_attributes_of_another_type_are_left_alone() -> None:
    assert info_of(Otherwise()) == BackendInfo(identity=f"{__name__}.Otherwise")


def test_a_server_tells_its_model_and_where_it_is() -> None:
    info = info_of(load_backend("openai:my-model", base_url="http://localhost:8000/v1"))

    assert (info.model, info.base_url) == ("my-model", "http://localhost:8000/v1")
    assert info.max_in_flight == 32


def test_wrappers_pass_on_what_they_wrap(tmp_path: Path) -> None:
    told = Told()
    with Ledger(tmp_path / "ledger") as ledger, CompletionStore(tmp_path / "requests") as store:
        metered = MeteredBackend(told, ledger, "solver")
        assert info_of(metered) == info_of(CachingBackend(metered, store)) == Told.info
        assert identity(CachingBackend(metered, store)) == "told 1"


@pytest.mark.parametrize("name", ["max_attempts", "max_in_flight", "max_new_tokens"])
def test_a_count_below_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"BackendInfo {name} must be 1 or more, not 0"):
        BackendInfo(**{name: 0})  # type: ignore[arg-type]


def test_a_roles_limit_is_by_default_the_backends() -> None:
    assert Decomposer(Told()).sampling == Solver(Told()).sampling == Sampling(max_new_tokens=8192)
    assert Decomposer(Echo()).sampling == Sampling()
    assert Decomposer(Told(), sampling=None).sampling.max_new_tokens == 8192  # type: ignore[arg-type]
    given = Sampling(temperature=1)
    assert Solver(Told(), sampling=given).sampling == given


def test_a_backend_that_raises_its_limit_finds_what_was_collected_before() -> None:
    class Raised(Echo):
        info = BackendInfo(identity="e", max_new_tokens=8192)

    class Before(Echo):
        identity = "e"

    for role in (Decomposer, Solver):
        assert role(Raised()).identity == role(Before()).identity
        other = role(Raised(), sampling=Sampling(max_new_tokens=4096))
        assert other.identity != role(Before()).identity
        assert "max_new_tokens=4096" in other.identity
    chat = (Message("user", "Hi"),)
    raised = Request("0", chat, Sampling(max_new_tokens=8192))
    assert request_key(raised, "e", 8192) == request_key(Request("0", chat), "e")
    assert request_key(raised, "e") != request_key(Request("0", chat), "e")


def test_a_price_of_a_backends_own_is_found() -> None:
    dear = Price(Decimal(1), Decimal(2))

    assert price_of(Told()) == price_of(Attributes()) == FREE
    assert price_of(Told(), {"m": dear}) == price_of(Told(), {"told 1": dear}) == dear
    assert price_of(Otherwise()) is None
