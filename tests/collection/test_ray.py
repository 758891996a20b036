"""Shards on a Ray cluster of three nodes, of which one is killed again and again."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import Question, collect, evaluate
from tests.support.paced import CENTS, asked_again, logged, paced, paced_pipeline

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
KILLS = 5
QUESTIONS = tuple(Question(f"How old is number {n}?", answer="7") for n in range(120))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="pip install 'decompose-distill[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def _kill_nodes(cluster: Any, log: Path, ended: Callable[[], bool]) -> int:
    """Kill a node, and start another, whenever so many more requests were answered."""
    killed, step = 0, 2 * len(QUESTIONS) // (KILLS + 1)
    while killed < KILLS and not ended():
        if logged(log, "answered").total() < step * (killed + 1):
            time.sleep(0.05)
            continue
        node = next(iter(cluster.worker_nodes))
        cluster.remove_node(node, allow_graceful=False)
        killed += 1
        cluster.add_node(num_cpus=1)
    return killed


def test_a_node_that_is_killed_five_times_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    path, log = tmp_path / "traces.jsonl", tmp_path / "log"
    collect(paced_pipeline(tmp_path / "a"), QUESTIONS, tmp_path / "alone.jsonl", progress=False)
    budget = CENTS * (2 * len(QUESTIONS) + KILLS)
    options: dict[str, Any] = {"shards": 6, "engine": "ray", "progress": False}
    work = partial(collect, paced(log, 0.1), QUESTIONS, path, budget_usd=budget, **options)
    with ThreadPoolExecutor(1) as driver:  # nodes can be started in the main thread only
        running = driver.submit(work)
        killed = _kill_nodes(cluster, log, running.done)
        done = running.result()
    again = collect(paced(log), QUESTIONS, path, **options)

    assert killed == KILLS
    assert path.read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert not asked_again(log)
    assert done.spent_usd is not None
    assert done.spent_usd <= budget
    assert (again.asked, again.found) == (0, len(QUESTIONS))


def test_evaluating_on_ray_gives_the_report_of_one_process(cluster: Any, tmp_path: Path) -> None:
    there, here = tmp_path / "there.jsonl", tmp_path / "here.jsonl"
    pipeline, part = paced(tmp_path / "log"), QUESTIONS[:9]
    report = evaluate(pipeline, part, there, shards=3, engine="ray", progress=False)

    assert report == evaluate(pipeline, part, here, progress=False)
    assert report.mean == 1
