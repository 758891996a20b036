"""Conformance kit: checks that a backend of your own keeps the protocol.

Each check is a plain function that raises `AssertionError` with what the protocol asks, so
that it runs under any test runner; `check_backend` runs them all.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import TypeVar

from decompose_distill.backend import Backend, fault_of, fault_of_answers, own_identity
from decompose_distill.errors import DecomposeDistillError
from decompose_distill.types import Completion, Message, Request, Sampling, Usage

Result = TypeVar("Result")

_SHORT = Sampling(max_new_tokens=8)
_OWN = "info = BackendInfo(identity=...)"


def check_backend(
    make: Callable[[], Backend], *, most_ahead: int = 256, failing: Request | None = None
) -> None:
    """Run every check on backends that `make` builds.

    The requests are one-line chats of at most 8 new tokens.

    Args:
        make: Builds the backend; called once a check, and may return the same one each time.
        most_ahead: Requests the backend may have taken beyond those it has answered.
        failing: A request this backend cannot complete, such as one longer than the model's
            context; it must come back as an error while others are completed.

    Raises:
        AssertionError: A rule of the protocol is broken; the message says which.

    Example:
        >>> class Echo:
        ...     info = BackendInfo(identity="echo 1")
        ...     def generate(self, requests):
        ...         for request in requests:
        ...             yield Completion(request.id, "Hi!", usage=Usage(1, 1))
        >>> check_backend(Echo)
    """
    _demand(callable(make), f"make must build the backend, as in lambda: {_kind(make)}(...)")
    assert_has_an_identity(make(), make())
    assert_answers_each_request_once(make())
    assert_answers_nothing_to_nothing(make())
    assert_works_ahead_within_bounds(make(), most_ahead)
    assert_closes_early(make(), most_ahead)
    if failing is not None:
        assert_a_failed_request_is_a_value(make(), failing)


def assert_has_an_identity(backend: Backend, again: Backend) -> None:
    """Check what keys, budgets and forecasts are told of a backend.

    Args:
        backend: What was built.
        again: The same, built a second time.

    Raises:
        AssertionError: The backend has no identity, or another one each time it is built, so that
            finished work would not be found again.
    """
    _demand(isinstance(backend, Backend), f"{_kind(backend)} must have a method generate")
    name, second = own_identity(backend), own_identity(again)
    _demand(bool(name), f"{_kind(backend)} must have an identity: give it {_OWN}")
    stable = f"identity must be the same whenever the backend is built: {name!r}, then {second!r}"
    _demand(name == second, stable)


def assert_answers_each_request_once(backend: Backend) -> None:
    """Check ids, finish reasons, usage and errors over requests that look alike.

    Raises:
        AssertionError: A request was not answered exactly once, or a completion is malformed.
    """
    requests = [_request(name) for name in ("0", "0 ", "é", "last")]
    completions = list(_generated(backend, iter(requests)))
    sent, answered = (
        [request.id for request in requests],
        [completion.id for completion in completions],
    )
    _demand(
        sorted(sent) == sorted(answered),
        f"each request must be answered once, under its id: sent {sent}, answered {answered}",
    )
    for completion in completions:
        _check_completion(completion)


def assert_answers_nothing_to_nothing(backend: Backend) -> None:
    """Check that no request gives no completion.

    Raises:
        AssertionError: Something came out of nothing.
    """
    answered = list(_generated(backend, iter(())))
    _demand(not answered, f"no request must give no completion, not {answered}")


def assert_works_ahead_within_bounds(backend: Backend, most_ahead: int = 256) -> None:
    """Check on an endless stream that completions come before too many requests are taken.

    Raises:
        AssertionError: More than `most_ahead` requests were taken and not yet answered, or
            they were taken in another thread.
    """
    stream = _Endless(most_ahead)
    completions = _generated(backend, stream)
    for _ in islice(completions, 3):
        stream.answered += 1
    _close(completions)
    _demand(not stream.fault, stream.fault)
    _demand(stream.answered == 3, f"an endless stream got only {stream.answered} completions")


def assert_closes_early(backend: Backend, most_ahead: int = 256) -> None:
    """Check that closing after the first completion ends that stream, and not the backend.

    Raises:
        AssertionError: Requests were taken after closing, or the backend does not go on.
    """
    stream = _Endless(most_ahead)
    completions = _generated(backend, stream)
    _demand(next(completions, None) is not None, "an endless stream got no completion")
    _close(completions)
    taken = stream.taken
    assert_answers_each_request_once(backend)
    _demand(stream.taken == taken, "no request may be taken once the completions are closed")


def assert_a_failed_request_is_a_value(backend: Backend, failing: Request) -> None:
    """Check that a request which cannot be completed neither raises nor stops the others.

    Raises:
        AssertionError: The request did not come back as an error, or another one did.
    """
    requests = [failing, _request(f"not {failing.id}")]
    failed, good = sorted(
        _generated(backend, iter(requests)), key=lambda completion: completion.id != failing.id
    )
    _demand(failed.finish == "error", f'a failed request must have finish="error": {failed}')
    _demand(good.finish != "error", f"a failed request must not stop others: {good}")
    _check_completion(failed)


def _generated(backend: Backend, requests: Iterator[Request]) -> Iterator[Completion]:
    """What a backend answers, each a completion that keeps the contract."""
    answers = _working(lambda: backend.generate(requests))
    fault = fault_of_answers(answers)
    _demand(not fault, fault)
    _demand(isinstance(answers, Iterator), f"generate must be a generator, not {_kind(answers)}")
    try:
        while (completion := _working(lambda: next(answers, None))) is not None:
            fault = fault_of(completion)
            _demand(not fault, fault)
            yield completion
    finally:
        _close(answers)


def _working(call: Callable[[], Result]) -> Result:
    """The result of a call, where errors that are neither the kit's nor ours name the rule."""
    try:
        return call()
    except (AssertionError, DecomposeDistillError):
        raise
    except Exception as error:
        raise AssertionError(
            "generate must take an iterator of requests and yield a Completion for each; it "
            f"raised {_kind(error)}: {error}"
        ) from error


def _kind(value: object) -> str:
    return type(value).__name__


def _check_completion(completion: Completion) -> None:
    failed = completion.finish == "error"
    _demand(
        failed == bool(completion.error),
        f'error must be given with finish="error" only: {completion}',
    )
    _demand(
        failed or completion.usage != Usage(), f"usage must count the tokens spent: {completion}"
    )
    written, limit = completion.usage.output_tokens, _SHORT.max_new_tokens
    longest = max(written, len(completion.text.split()))  # a word is a token at least
    rule = f"at most max_new_tokens={limit} may be written, not {longest}: {completion}"
    _demand(failed or longest <= limit, rule)


def _demand(kept: bool, rule: str) -> None:
    if not kept:
        raise AssertionError(rule)


def _request(name: str) -> Request:
    return Request(name, (Message("user", "Say hello a hundred times."),), _SHORT)


def _close(completions: Iterator[Completion]) -> None:
    if isinstance(completions, Generator):
        completions.close()


class _Endless:
    """A stream of requests without end that notes how it is taken."""

    def __init__(self, most_ahead: int) -> None:
        self.taken = 0
        self.answered = 0
        self.fault = ""
        self._most_ahead = most_ahead
        self._thread = threading.get_ident()

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        self.taken += 1
        if threading.get_ident() != self._thread:
            self.fault = "requests must be taken in the thread that asks for completions"
        elif self.taken - self.answered > self._most_ahead:
            self.fault = f"more than {self._most_ahead} requests were taken ahead of completions"
        _demand(not self.fault, self.fault)
        return _request(str(self.taken))
