"""A backend whose every request is in a ledger before it is sent, so that a budget holds."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from decompose_distill.backend import Backend, BackendInfo, ContractError, completions, info_of
from decompose_distill.backends.caching import request_key
from decompose_distill.cost.accounts import Reservation
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.cost.ledger import Ledger
from decompose_distill.cost.pricing import format_usd
from decompose_distill.errors import (
    BackendError,
    BackendUnavailable,
    BudgetExceeded,
    DecomposeDistillError,
)
from decompose_distill.types import Completion, Request, Usage

logger = logging.getLogger(__name__)


def at_worst(completion: Completion, most: Usage) -> Usage:
    """What a completion used, with the most for each part that nobody counted.

    A prompt has tokens, and so has an answer, even an empty one, its end. Only of a request
    that failed without a word nothing need have been billed.

    Example:
        >>> at_worst(Completion("0", "Hello!", usage=Usage(9, 0)), Usage(146, 512)).output_tokens
        512
    """
    usage = completion.usage
    if usage.input_tokens and usage.output_tokens:
        return usage
    written = completion.finish != "error" or completion.text or completion.reasoning
    output = usage.output_tokens or (most.output_tokens if written else 0)
    read = usage.input_tokens or (most.input_tokens if output else 0)
    return replace(usage, input_tokens=read, output_tokens=output)


class MeteredBackend:
    """Reserves a request's worst case in a ledger before it is sent, and books what it used.

    Where the budget has no room for the next request, no more are sent; what is under way
    finishes, and what that frees is used. `BudgetExceeded` comes when this is too little as well.

    Args:
        backend: What completes the requests.
        ledger: Open, and shared by all roles; those whose answers others are asked about come
            first.
        role: `decomposer`, `solver`, or a part of one, as `solver.judge`.

    Raises:
        ConfigError: There is a budget, and no price for the backend.

    Example:
        >>> import tempfile
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> from decompose_distill.types import Message
        >>> with Ledger(tempfile.mkdtemp() + "/ledger") as ledger:
        ...     metered = MeteredBackend(ScriptedBackend(str.upper), ledger, "solver")
        ...     [done] = metered.generate([Request("0", (Message("user", "hi there"),))])
        >>> ledger.entries[0].usage
        Usage(input_tokens=2, output_tokens=2, ...)
    """

    def __init__(self, backend: Backend, ledger: Ledger, role: str) -> None:
        self.backend = backend
        self.ledger = ledger
        self.role = role
        self.info: BackendInfo = info_of(backend)
        self._answered = self._paused = False
        ledger.open_account(role, backend)

    def __repr__(self) -> str:
        return f"Metered({self.backend!r}, {str(self.ledger.path)!r}, {self.role!r})"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once, as far as the budget goes.

        Raises:
            BudgetExceeded: The next request does not fit; all that were sent have come back.
        """
        supply = _Supply(requests)
        under_way: dict[str, Reservation] = {}
        try:
            while True:
                for completion in completions(self.backend, self._affordable(supply, under_way)):
                    self._settle(completion, under_way.pop(completion.id, None))
                    yield completion
                if not supply.held:
                    break
                self._note_pause()
                self._make_room(supply)
        except ContractError:
            raise  # it has answered, and who knows what
        except BackendError as error:
            if not self._answered and not self.info.batch:  # a batch goes on without us
                self._release(under_way, error)
            raise
        finally:
            for reservation in under_way.values():
                self.ledger.lose(reservation)
        if supply.error is not None:
            raise supply.error

    def _note_pause(self) -> None:
        if not self._paused:
            self._paused = True
            logger.info(
                "%s: the budget has no room for the next request of the %s until what is under way "
                "comes back; from here on fewer run at once",
                self.ledger.path,
                self.role,
            )

    def _affordable(
        self, supply: "_Supply", under_way: dict[str, Reservation]
    ) -> Iterator[Request]:
        while supply.held or supply.pull():
            most = most_tokens(supply.held[0])
            reservation = self.ledger.reserve(
                self.role, most, self.info.max_attempts, self._key(supply.held[0])
            )
            if reservation is None:
                return
            request = supply.held.popleft()
            under_way[request.id] = reservation
            yield request

    def _key(self, request: Request) -> str:
        """Under which a batch holds a request; empty for one that is answered at once."""
        info = self.info
        return request_key(request, info.identity, info.max_new_tokens) if info.batch else ""

    def _settle(self, completion: Completion, reservation: Reservation | None) -> None:
        if reservation is None:
            return  # an id that was never asked for, which the role will say
        self._answered = True
        used = at_worst(completion, reservation.most)
        self.ledger.settle(reservation, used, completion.unanswered, completion.billed_usd)

    def _release(self, under_way: dict[str, Reservation], error: BackendError) -> None:
        """Book what may be billed of a run that ended before its first answer.

        A refusal ends it with nothing worked on; but attempts before that may have been.
        """
        if error.unanswered is None and isinstance(error, BackendUnavailable):
            return  # nobody tells, so that all attempts are lost
        for name, reservation in under_way.items():
            self.ledger.settle(reservation, Usage(), (error.unanswered or {}).get(name, 0))
        under_way.clear()

    def _make_room(self, supply: "_Supply") -> None:
        """Let what earlier roles have under way finish, where that can be waited for here."""
        with self.ledger.only(self.role):
            while not self._fits(supply) and self._waits_for_others() and supply.pull():
                pass
        if not self._fits(supply):
            raise BudgetExceeded(self._refusal(supply.held[0]))

    def _waits_for_others(self) -> bool:
        return self.ledger.in_flight_before(self.role) > 0

    def _fits(self, supply: "_Supply") -> bool:
        return self.ledger.fits(self._reservation(supply.held[0]))

    def _reservation(self, request: Request) -> Reservation:
        return Reservation(-1, self.role, most_tokens(request), self.info.max_attempts)

    def _refusal(self, request: Request) -> str:
        reservation, price = self._reservation(request), self.ledger.price(self.role)
        assert price is not None
        most = reservation.most
        spent, budget = map(format_usd, (self.ledger.spent_usd, self.ledger.budget_usd))
        return (
            f"{spent} of the budget of {budget} is spent, and the next request of the "
            f"{self.role} may cost {format_usd(reservation.usd(price))}: up to {most.input_tokens} "
            f"tokens read and {most.output_tokens} written, sent up to {reservation.attempts} times"
        )


class _Supply:
    """Requests to come, with those that were taken and wait for room."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._source = iter(requests)
        self.held: deque[Request] = deque()
        self.ended = False
        self.error: DecomposeDistillError | None = None
        """What ended the requests; raised when those under way, paid for, have come back."""

    def pull(self) -> bool:
        """Take one more; `False` if there is none."""
        if self.ended:
            return False
        try:
            self.held.append(next(self._source))
        except StopIteration:
            self.ended = True
        except DecomposeDistillError as error:
            self.ended, self.error = True, error
        return not self.ended
