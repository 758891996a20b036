"""`kill -9` at random points of a collection: nothing kept is paid again, the file is the same."""

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support import killed
from tests.support.fake_server import Call, FakeServer, Reply, chat
from tests.support.processes import FORKS

KILLS = 50
REQUESTS = len(killed.QUESTIONS) * killed.SAMPLES * (1 + killed.SOLVES)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")


def _name(call: Call) -> str:
    """What a request is paid for by: the whole of its body."""
    return sha256(json.dumps(call.body, sort_keys=True).encode()).hexdigest()


def _teacher(call: Call) -> Reply:
    """Answers in some milliseconds with the request's name, always the same."""
    name = _name(call)
    return Reply(body=chat(f"1. Who is {name}?\nThe answer is: {name}"), seconds=_latency(name))


def _latency(name: str) -> float:
    return int(name[:8], 16) % 20 / 2000


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    """One for all, as its address is part of the keys."""
    with FakeServer(_teacher) as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(server: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("undisturbed") / "traces.jsonl"
    _run(server, path)

    assert len(server.calls) == REQUESTS
    return path.read_bytes()


def _start(server: FakeServer, path: Path) -> Any:
    process = FORKS.Process(target=killed.collect_from, args=(server.url, str(path)))
    process.start()
    return process


def _run(server: FakeServer, path: Path) -> None:
    process = _start(server, path)
    process.join()

    assert process.exitcode == 0


def _kept(path: Path) -> Iterator[str]:
    """Names of the requests whose answers are in the journal, a torn last line left out."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)["text"].rpartition("The answer is: ")[2]


def test_after_50_kills_nothing_kept_was_paid_again_and_the_file_is_the_same(
    server: FakeServer, undisturbed: bytes, tmp_path: Path
) -> None:
    path, chance = tmp_path / "traces.jsonl", random.Random(0)
    journal, first = Path(f"{path}.requests"), len(server.calls)
    for _ in range(KILLS):
        before, kept, threads = len(server.calls), set(_kept(journal)), threading.active_count()
        process = _start(server, path)
        _wait_for_calls(server, before + chance.randrange(16), process)
        time.sleep(chance.random() / 50)
        process.kill()
        process.join()
        _wait_for_threads(threads)  # until the server has seen all that was sent
        paid = [_name(call) for call in server.calls[before:]]

        assert kept.isdisjoint(paid)
        assert len(paid) - len(set(_kept(journal)) - kept) <= 2 * killed.IN_FLIGHT  # two roles
    before, kept = len(server.calls), set(_kept(journal))
    _run(server, path)
    paid = [_name(call) for call in server.calls]

    assert kept.isdisjoint(paid[before:])
    assert len(set(paid[first:])) == REQUESTS
    assert path.read_bytes() == undisturbed


def _wait_for_calls(server: FakeServer, calls: int, process: Any) -> None:
    while len(server.calls) < calls and process.is_alive():
        time.sleep(0.001)


def _wait_for_threads(most: int) -> None:
    while threading.active_count() > most:
        time.sleep(0.001)


def test_a_finished_collection_asks_for_nothing(
    server: FakeServer, undisturbed: bytes, tmp_path: Path
) -> None:
    path, before = tmp_path / "traces.jsonl", len(server.calls)
    path.write_bytes(undisturbed)
    _run(server, path)

    assert len(server.calls) == before
    assert path.read_bytes() == undisturbed
