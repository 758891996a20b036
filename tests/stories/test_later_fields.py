"""A field that a later version adds to a value, with a default, changes no key: work is found."""

from collections.abc import Iterable, Iterator
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

import decompose_distill as dd
from decompose_distill.backends.caching import CachingBackend, CompletionStore
from decompose_distill.pipelines import decomposer
from tests.support.samples import PROMPT, QUESTIONS

ANSWER = "1. How old is Ada?\nThe answer is: 42"


class Teacher:
    """Answers, and counts what it was asked."""

    identity = "teacher"

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, requests: Iterable[dd.Request]) -> Iterator[dd.Completion]:
        for request in requests:
            self.asked += 1
            yield dd.Completion(request.id, ANSWER, usage=dd.Usage(5, 5))


def _later(kind: Any) -> Any:
    """The same value as a version with one more setting would have it."""
    field = [("depth", int, 0)]
    return make_dataclass(kind.__name__, field, bases=(kind,), frozen=True, kw_only=True)


def _pipeline(teacher: Teacher, sampling: Any, prompt: Any) -> dd.Pipeline:
    return dd.Pipeline(
        dd.Decomposer(teacher, sampling=sampling, prompt=prompt),
        dd.Solver(teacher, sampling=sampling),
    )


def test_a_finished_collection_is_found_with_a_setting_more(tmp_path: Path) -> None:
    path, teacher, again = tmp_path / "traces.jsonl", Teacher(), Teacher()
    dd.collect(_pipeline(teacher, dd.Sampling(), PROMPT), QUESTIONS, path, progress=False)
    sampling, prompt = _later(dd.Sampling)(), _later(type(PROMPT))(PROMPT.system, PROMPT.user)

    done = dd.collect(_pipeline(again, sampling, prompt), QUESTIONS, path, progress=False)

    assert teacher.asked == 2 * len(QUESTIONS)
    assert (again.asked, done.found) == (0, len(QUESTIONS))


def test_a_setting_that_is_used_asks_anew(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    dd.collect(_pipeline(teacher, dd.Sampling(), PROMPT), QUESTIONS, path, progress=False)
    deeper = _later(dd.Sampling)(depth=1)

    done = dd.collect(_pipeline(teacher, deeper, PROMPT), QUESTIONS, path, progress=False)

    assert done.found == 0


def test_a_completion_is_found_by_a_request_with_a_field_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Teacher()
    with CompletionStore(tmp_path / "requests") as store:
        role = dd.Decomposer(CachingBackend(teacher, store), prompt=PROMPT)
        first = list(role.decompose(QUESTIONS))
        monkeypatch.setattr(decomposer, "Request", _later(dd.Request))

        assert list(role.decompose(QUESTIONS)) == first
    assert teacher.asked == len(QUESTIONS)


def test_a_student_is_found_with_a_setting_of_training_more() -> None:
    config = _later(dd.DistillConfig)(learning_rate=2e-4)
    student, later = dd.Student("x", config=dd.DistillConfig(learning_rate=2e-4)), dd.Student("x")

    assert dd.Student("x", config=config).inputs("S_D-R", 0, "hash") == student.inputs(
        "S_D-R", 0, "hash"
    )
    assert later.inputs("S_D-R", 0, "hash") != student.inputs("S_D-R", 0, "hash")
