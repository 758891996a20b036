"""Requests under way on an event loop in a thread of its own."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import httpx2

from decompose_distill.types import Completion, Request


class Flight:
    """Requests under way on an event loop in a thread of its own."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        complete: Callable[[httpx2.AsyncClient, Request], Coroutine[Any, Any, Completion]],
    ) -> None:
        self._client = client
        self._complete = complete
        self._under_way = 0
        self._finished: SimpleQueue[Future[Completion]] = SimpleQueue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        # A daemon closed by atexit: an abandoned generator must not hold up the interpreter.
        self._thread = threading.Thread(target=self._run, name="openai-backend", daemon=True)

    def __enter__(self) -> "Flight":
        self._thread.start()
        atexit.register(self.close)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self.close)
        self.close()

    def send(self, request: Request) -> None:
        """Set a request under way."""
        work = asyncio.run_coroutine_threadsafe(self._carry(request), self._loop)
        work.add_done_callback(self._finished.put)
        self._under_way += 1

    def landed(self, *, leave: int) -> Iterator[Completion]:
        """Yield everything finished, waiting until at most `leave` are under way."""
        while self._under_way > leave or not self._finished.empty():
            work = self._finished.get()
            self._under_way -= 1
            yield work.result()

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            if self._thread is not threading.current_thread():  # where garbage is collected
                self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        async with self._client:
            await self._closing.wait()
            # Not all tasks of the loop: those below ours are httpx2's to cancel.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, request: Request) -> Completion:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._complete(self._client, request)
        finally:
            self._tasks.discard(task)
