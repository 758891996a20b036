"""Requests under way on an event loop in a thread of its own."""

import asyncio
import atexit
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from typing import Any, Self

from decompose_distill.backends.openai.endpoints import Pool
from decompose_distill.errors import BackendError
from decompose_distill.types import Completion, Request

Resting = Callable[[], AbstractContextManager[None]]
Complete = Callable[[Pool, Request, Resting], Coroutine[Any, Any, Completion]]


class EventLoops:
    """The event loop that all runs of one backend share while there are any.

    Args:
        open_pool: Makes what a loop asks; it is closed when the loop ends.
    """

    def __init__(self, open_pool: Callable[[], Pool]) -> None:
        self._open_pool = open_pool
        self._lock = threading.RLock()  # an abandoned run may be collected while one begins
        self._streams: set[RequestStream] = set()
        self._loop: _EventLoopThread | None = None

    def join(self, stream: "RequestStream") -> "_EventLoopThread":
        """The loop for a run; it lives until all that joined have left."""
        with self._lock:
            self._streams.add(stream)  # first, so that no other that leaves ends the loop
            try:
                self._loop = self._loop or _EventLoopThread(self._open_pool)
            except BaseException:
                self._streams.discard(stream)
                raise
            return self._loop

    def leave(self, stream: "RequestStream") -> None:
        """End the loop if this was the last run."""
        with self._lock:
            self._streams.discard(stream)
            loop = self._loop
            if self._streams or loop is None:
                return
            self._loop = None
        loop.close()


class RequestStream:
    """The requests of one run.

    Args:
        loops: Where the run gets its event loop.
        complete: Settles a request; what it raises ends the run.
    """

    def __init__(self, loops: EventLoops, complete: Complete) -> None:
        self._loops = loops
        self._complete = complete
        self._under_way = 0
        self._resting = 0
        self._waiting: deque[Request] = deque()
        self._done: list[Completion | BaseException] = []
        self._finished: SimpleQueue[list[Completion | BaseException]] = SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread = self._loops.join(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what is under way."""
        self._thread.do(self._cancel)
        self._loops.leave(self)

    def send(self, request: Request) -> None:
        """Set a request under way."""
        self._waiting.append(request)
        if len(self._waiting) == 1:  # else the loop has been told and did not look yet
            self._thread.do(self._start)
        self._under_way += 1

    def completed(self, *, most: int) -> Iterator[Completion]:
        """Yield everything finished, waiting until at most N are under way.

        As many more may be while they wait for their next attempt.
        """
        while self._under_way > most + min(self._resting, most) or not self._finished.empty():
            self._thread.check()
            for result in self._finished.get():
                self._under_way -= 1
                if isinstance(result, BaseException):
                    raise result
                yield result

    def _start(self) -> None:
        while self._waiting:
            task = self._thread.begin(self._settle(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, request: Request) -> None:
        try:
            self._finish(await self._complete(self._thread.pool, request, self._rest))
        except Exception as error:
            self._finish(error)

    @contextmanager
    def _rest(self) -> Iterator[None]:
        self._resting += 1
        self._finished.put([])  # so that it is seen that there is room
        try:
            yield
        finally:
            self._resting -= 1

    def _finish(self, result: Completion | BaseException) -> None:
        """Hand over all that finishes in one turn of the loop at once: it costs a thread switch."""
        if not self._done:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._done.append(result)

    def _hand_over(self) -> None:
        self._finished.put(self._done)
        self._done = []

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


class _EventLoopThread:
    """An event loop running in a thread, with the servers asked on it."""

    def __init__(self, open_pool: Callable[[], Pool]) -> None:
        self.pool: Pool = open_pool()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        # A daemon closed by atexit: an abandoned generator must not hold up the interpreter.
        self._thread = threading.Thread(target=self._run, name="openai-backend", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def do(self, callback: Callable[..., None], *args: Any) -> None:
        """Have the loop call something soon."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(callback, *args)

    def check(self) -> None:
        """Refuse to wait for a thread that is not there, as in a process that was forked off.

        Raises:
            BackendError: This is not the process that began the run.
        """
        if not self._thread.is_alive():
            raise BackendError("a process that was forked off cannot go on with requests under way")

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Set work under way; to be called on the loop."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        atexit.unregister(self.close)
        self.do(self._closing.set)
        if self._thread is not threading.current_thread():  # where garbage is collected
            self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        async with self.pool:
            await self._closing.wait()
            # Not all tasks of the loop: those below ours are httpx2's to cancel.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
