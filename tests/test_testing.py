import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace

import pytest

import decompose_distill as dd
from decompose_distill import BackendInfo
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.testing import check_backend
from decompose_distill.types import Completion, Message, Request, Usage


def answer(request: Request) -> Completion:
    if "fail" in request.messages[-1].content:
        return Completion(request.id, "", "error", error="asked to fail")
    return Completion(request.id, "Hi!", usage=Usage(2, 1))


class Good:
    identity = "good 1"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            yield answer(request)


FAILING = Request("bad", (Message("user", "fail"),))


def check(generate: Callable[[Iterable[Request]], Iterable[Completion]]) -> None:
    class Backend:
        info = BackendInfo(identity="checked 1")

        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return iter(generate(requests))

    check_backend(Backend, most_ahead=16, failing=FAILING)


def test_a_good_backend_passes() -> None:
    check_backend(Good, failing=FAILING)
    check_backend(lambda: ScriptedBackend(str.upper))


def test_completions_may_come_in_any_order() -> None:
    def in_reversed_pairs(requests: Iterable[Request]) -> Iterator[Completion]:
        held: list[Request] = []
        for request in requests:
            held.append(request)
            if len(held) == 2:
                yield from (answer(held.pop()) for _ in range(2))
        yield from map(answer, held)

    check(in_reversed_pairs)


def test_the_kit_is_a_public_namespace() -> None:
    assert dd.testing.check_backend is check_backend


def skip_one(requests: Iterable[Request]) -> Iterator[Completion]:
    return (answer(request) for request in requests if request.id != "last")


def repeat(requests: Iterable[Request]) -> Iterator[Completion]:
    return (answer(request) for request in requests for _ in range(2))


def lose_the_id(requests: Iterable[Request]) -> Iterator[Completion]:
    return (replace(answer(request), id=request.id.strip()) for request in requests)


def answer_nothing(requests: Iterable[Request]) -> Iterator[Completion]:
    yield from map(answer, requests)
    yield Completion("0", "anything else?")


def drain(requests: Iterable[Request]) -> list[Completion]:
    return [answer(request) for request in requests]


def stop_early(requests: Iterable[Request]) -> Iterator[Completion]:
    return (answer(request) for request in requests if not request.id.isdigit() or request.id < "2")


def take_in_another_thread(requests: Iterable[Request]) -> Iterator[Completion]:
    taken: list[Request] = []

    def take() -> None:
        try:
            taken.extend(zip(requests, range(4), strict=False))  # type: ignore[arg-type]
        except AssertionError:
            return

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return (answer(request) for request, _ in taken)  # type: ignore[misc]


def invent_a_finish(requests: Iterable[Request]) -> Iterator[Completion]:
    return (replace(answer(request), finish="eos") for request in requests)  # type: ignore[arg-type]


def fail_without_a_word(requests: Iterable[Request]) -> Iterator[Completion]:
    return (Completion(request.id, "", "error") for request in requests)


def err_and_succeed(requests: Iterable[Request]) -> Iterator[Completion]:
    return (replace(answer(request), error="but") for request in requests)


def count_nothing(requests: Iterable[Request]) -> Iterator[Completion]:
    return (replace(answer(request), usage=Usage()) for request in requests)


def hide_failures(requests: Iterable[Request]) -> Iterator[Completion]:
    return (Completion(request.id, "fine", usage=Usage(1, 1)) for request in requests)


def fail_together(requests: Iterable[Request]) -> Iterator[Completion]:
    failed = False
    for request in requests:
        completion = answer(request)
        failed = failed or completion.finish == "error"
        yield Completion(request.id, "", "error", error="engine died") if failed else completion


@pytest.mark.parametrize(
    ("generate", "rule"),
    [
        (skip_one, "each request must be answered once"),
        (repeat, "each request must be answered once"),
        (lose_the_id, "each request must be answered once"),
        (answer_nothing, "each request must be answered once"),
        (drain, "more than 16 requests were taken ahead"),
        (take_in_another_thread, "in the thread that asks"),
        (invent_a_finish, "finish .* must be one of stop, length, error, not 'eos'"),
        (fail_without_a_word, "error must be given"),
        (err_and_succeed, "error must be given"),
        (count_nothing, "usage must count"),
        (hide_failures, 'must have finish="error"'),
        (fail_together, "must not stop others"),
    ],
)
def test_a_broken_rule_is_named(
    generate: Callable[[Iterable[Request]], Iterable[Completion]], rule: str
) -> None:
    with pytest.raises(AssertionError, match=rule):
        check(generate)


def test_something_out_of_nothing_is_named() -> None:
    class Chatty(Good):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            completions = [answer(request) for request in requests]
            yield from completions or [Completion("0", "Hello?")]

    with pytest.raises(AssertionError, match="no request must give no completion"):
        check_backend(Chatty)


def test_a_stream_that_dries_up_is_named() -> None:
    class Tired(Good):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for number, request in enumerate(requests):
                if number == 4:
                    return
                yield answer(request)

    class Exhausted(Good):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            finite = isinstance(requests, type(iter([])))
            return map(answer, requests if finite else [])

    check_backend(Tired)
    with pytest.raises(AssertionError, match="an endless stream got only 0 completions"):
        check_backend(Exhausted)


def test_taking_requests_after_closing_is_named() -> None:
    kept: list[Iterator[Request]] = []

    class Greedy(Good):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for earlier in kept:
                next(earlier, None)
            stream = iter(requests)
            kept.append(stream)
            return map(answer, stream)

    with pytest.raises(AssertionError, match="no request may be taken once"):
        check_backend(Greedy)


def test_a_backend_without_identity_is_named() -> None:
    class Nameless:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return map(answer, requests)

    with pytest.raises(AssertionError, match="Nameless must have an identity: give it info = "):
        check_backend(Nameless)


def test_an_identity_that_changes_is_named() -> None:
    class Changing(Good):
        def __init__(self) -> None:
            self.identity = f"changing {id(self)}"

    kept: list[Changing] = []  # so that no address is used twice

    def make() -> Changing:
        kept.append(Changing())
        return kept[-1]

    with pytest.raises(AssertionError, match="identity must be the same whenever"):
        check_backend(make)


def test_what_is_no_backend_is_named() -> None:
    with pytest.raises(AssertionError, match=r"make must build the backend, as in lambda: Good"):
        check_backend(Good())  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="dict must have a method generate"):
        check_backend(dict)  # type: ignore[arg-type]


def yield_text(requests: Iterable[Request]) -> Iterator[str]:
    return (request.messages[-1].content for request in requests)


def write_on(requests: Iterable[Request]) -> Iterator[Completion]:
    return (Completion(each.id, "Hi!", usage=Usage(2, 50)) for each in requests)


def write_on_uncounted(requests: Iterable[Request]) -> Iterator[Completion]:
    return (Completion(each.id, "Hi! " * 50, usage=Usage(2, 8)) for each in requests)


@pytest.mark.parametrize(
    ("generate", "rule"),
    [
        (yield_text, "generate must yield Completion, not str"),
        (write_on, "at most max_new_tokens=8 may be written, not 50"),
        (write_on_uncounted, "at most max_new_tokens=8 may be written, not 50"),
        *(
            (
                lambda requests, change=change: (
                    replace(answer(request), **change) for request in requests
                ),
                f"{next(iter(change))} of the completion of request '0' must be",
            )
            for change in (
                {"text": None},
                {"text": b"5"},
                {"finish": None},
                {"usage": None},
                {"usage": Usage(2.0, 1)},  # type: ignore[arg-type]
                {"unanswered": -1},
                {"reasoning": None},
                {"billed_usd": 0.1},
            )
        ),
    ],
)
def test_a_completion_that_breaks_the_contract_is_named_with_its_field(
    generate: Callable[[Iterable[Request]], Iterable[Completion]], rule: str
) -> None:
    with pytest.raises(AssertionError, match=rule):
        check(generate)


class Listing(Good):
    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        return drain(requests)  # type: ignore[return-value]


class OneByOne(Good):
    def generate(self, request: Request) -> Completion:  # type: ignore[override]
        return answer(request)


class Coroutine(Good):
    async def generate(self, requests: Iterable[Request]) -> list[Completion]:  # type: ignore[override]
        return drain(requests)


class Async(Good):
    async def generate(self, requests: Iterable[Request]) -> AsyncIterator[Completion]:  # type: ignore[override]
        for request in requests:
            yield answer(request)


class Twice(Good):
    def generate(self, requests: Iterable[Request], more: int) -> Iterator[Completion]:  # type: ignore[override]
        return map(answer, requests)


@pytest.mark.parametrize(
    ("backend", "rule"),
    [
        (Listing, "generate must be a generator, not list"),
        (OneByOne, r"must take an iterator of requests and yield .* it raised AttributeError"),
        (Coroutine, "generate must be a generator of completions, not async"),
        (Async, "generate must be a generator of completions, not async"),
        (Twice, r"must take an iterator of requests .* it raised TypeError"),
    ],
)
def test_a_generate_of_another_kind_is_named(backend: type[Good], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_backend(backend)


def test_an_error_of_ours_passes_as_it_is() -> None:
    class Keyless(Good):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            raise dd.BackendError("check the key")

    with pytest.raises(dd.BackendError, match="check the key"):
        check_backend(Keyless)
