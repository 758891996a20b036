"""Shards become the file that one process would have written, with nothing asked or paid twice."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    BackendInfo,
    BudgetExceeded,
    Completion,
    ConfigError,
    DataError,
    Decomposer,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solver,
    Usage,
    collect,
    evaluate,
    read_traces,
)
from decompose_distill.collection import collect_shard, merge_shards
from decompose_distill.collection.shards import Shard, shard_folder
from decompose_distill.cost import read_accounts

QUESTIONS = tuple(Question(f"How old is number {n}?", answer=str(n)) for n in range(23))


class Teacher:
    """Answers at once, counts what it was asked, and bills 10 cents per request."""

    info = BackendInfo(
        identity="teacher 1", model="teacher", price=Price(Decimal(0), Decimal(100_000))
    )

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, requests: "Iterator[Request]") -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request.id)
            yield Completion(request.id, "1. Who?\nThe answer is: 7", usage=Usage(1, 1))


def _pipeline(teacher: Teacher) -> Pipeline:
    sampling = Sampling(temperature=0.7, max_new_tokens=1)
    return Pipeline(Decomposer(teacher, sampling=sampling), Solver(teacher, sampling=sampling))


@pytest.fixture
def alone(tmp_path: Path) -> bytes:
    """What one process writes."""
    path = tmp_path / "alone.jsonl"
    collect(_pipeline(Teacher()), QUESTIONS, path, samples=2, progress=False)
    return path.read_bytes()


def test_parts_are_equal_and_together_the_whole() -> None:
    for count in (1, 2, 7, 23, 30):
        parts = [Shard(number, count).part_of(QUESTIONS) for number in range(1, count + 1)]
        sizes = {len(part) for part in parts}

        assert [each for part in parts for each in part] == list(QUESTIONS)
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/", "a/b", "-1/8", "3/8/9"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 3, 25])
def test_shards_in_this_process_write_the_same_file(
    tmp_path: Path, alone: bytes, count: int
) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    options = {"samples": 2, "progress": False}
    done = collect(_pipeline(teacher), [*QUESTIONS, QUESTIONS[0]], path, shards=count, **options)

    assert not shard_folder(path).exists()
    assert path.read_bytes() == alone
    assert len(teacher.asked) == 4 * len(QUESTIONS)
    assert (done.asked, done.found, done.duplicates) == (2 * len(QUESTIONS), 0, 1)


def test_shards_as_separate_calls_write_the_same_file(tmp_path: Path, alone: bytes) -> None:
    path = tmp_path / "traces.jsonl"
    for shard in ("2/3", "1/3", "3/3"):
        collect_shard(_pipeline(Teacher()), QUESTIONS, path, shard, samples=2, progress=False)
    merged = merge_shards(path)

    assert path.read_bytes() == alone
    assert (merged.shards, merged.traces, merged.missing) == (3, 2 * len(QUESTIONS), ())
    with pytest.raises(DataError, match="no shard is there"):
        merge_shards(path)


def test_a_later_call_of_any_kind_finds_the_work_and_the_spending(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect(_pipeline(teacher), QUESTIONS, path, shards=4, progress=False)
    before, asked = path.read_bytes(), len(teacher.asked)
    one = collect(_pipeline(teacher), QUESTIONS, path, progress=False)
    many = collect(_pipeline(teacher), QUESTIONS, path, shards=3, progress=False)

    assert path.read_bytes() == before
    assert len(teacher.asked) == asked
    assert one.found == many.found == len(QUESTIONS)
    assert one.spent_usd == many.spent_usd == Decimal("4.6")


def test_a_missing_shard_is_told_and_a_later_call_fills_it(tmp_path: Path, alone: bytes) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    for shard in ("1/3", "3/3"):
        collect_shard(_pipeline(teacher), QUESTIONS, path, shard, samples=2, progress=False)
    merged = merge_shards(path)
    collect(_pipeline(teacher), QUESTIONS, path, samples=2, progress=False)

    assert merged.missing == (2,)
    assert "not there: shard 2" in str(merged)
    assert path.read_bytes() == alone
    assert len(teacher.asked) == len(set(teacher.asked)) == 4 * len(QUESTIONS)


def test_more_samples_and_a_changed_solver_pay_for_nothing_twice(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect(_pipeline(teacher), QUESTIONS, path, progress=False)
    collect(_pipeline(teacher), QUESTIONS, path, samples=2, shards=3, progress=False)
    first = len(teacher.asked)
    other = Solver(teacher, sampling=Sampling(temperature=0.9, max_new_tokens=1))
    changed = Pipeline(_pipeline(teacher).decomposer, other)
    done = collect(changed, QUESTIONS, path, samples=2, shards=2, progress=False)

    assert first == 4 * len(QUESTIONS)
    assert len(teacher.asked) == first + 2 * len(QUESTIONS)
    assert done.saved_usd == Decimal("4.6")


def test_shards_that_were_left_are_found_by_a_plain_call(tmp_path: Path, alone: bytes) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect_shard(_pipeline(teacher), QUESTIONS, path, "2/3", samples=2, progress=False)
    done = collect(_pipeline(teacher), QUESTIONS, path, samples=2, progress=False)

    assert done.found == 16
    assert path.read_bytes() == alone
    assert not shard_folder(path).exists()


def test_shards_of_another_number_are_refused_by_a_shard_and_found_by_all(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect_shard(_pipeline(teacher), QUESTIONS, path, "1/3", progress=False)
    with pytest.raises(ConfigError, match=r"1-of-3.jsonl is one of 3 shards, not of 4"):
        collect_shard(_pipeline(teacher), QUESTIONS, path, "1/4", progress=False)
    collect(_pipeline(teacher), QUESTIONS, path, shards=4, progress=False)

    assert len(teacher.asked) == 2 * len(QUESTIONS)


def test_traces_of_others_stay_in_front(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect(Pipeline(None, Solver(teacher)), QUESTIONS[:5], path, progress=False)
    before = path.read_bytes()
    collect(_pipeline(teacher), QUESTIONS, path, shards=2, progress=False)

    assert path.read_bytes().startswith(before)
    assert len([*read_traces(path)]) == 5 + len(QUESTIONS)


def test_a_merge_that_was_cut_off_is_gone_on_with(
    tmp_path: Path, alone: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traces.jsonl"
    for shard in ("1/2", "2/2"):
        collect_shard(_pipeline(Teacher()), QUESTIONS, path, shard, samples=2, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _killed)
        with pytest.raises(KeyboardInterrupt):
            merge_shards(path)
    merged = merge_shards(path)

    assert path.read_bytes() == alone
    assert merged.spent_usd == Decimal("9.2")


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_shard_that_is_being_written_is_not_merged(tmp_path: Path) -> None:
    from decompose_distill.storage.traces import TraceStore

    path = tmp_path / "traces.jsonl"
    collect_shard(_pipeline(Teacher()), QUESTIONS, path, "1/2", progress=False)
    with (
        TraceStore(Shard(1, 2).path(path)),
        pytest.raises(ConfigError, match="being written by another run"),
    ):
        merge_shards(path)


def test_the_budget_of_all_shards_is_never_exceeded_and_flows_to_those_that_go_on(
    tmp_path: Path,
) -> None:
    """The first part was collected before, so that the others may spend its share."""
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    collect(_pipeline(teacher), QUESTIONS[:11], path, progress=False)
    done = collect(
        _pipeline(teacher), QUESTIONS, path, shards=2, budget_usd=Decimal("4.6"), progress=False
    )

    assert done.spent_usd == Decimal("4.6")
    assert len([*read_traces(path)]) == len(QUESTIONS)


def test_a_budget_too_small_leaves_what_was_paid_and_a_larger_one_goes_on(
    tmp_path: Path, alone: bytes
) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    options = {"samples": 2, "shards": 3, "progress": False}
    with pytest.raises(BudgetExceeded, match="3 of 3 shards lack budget"):
        collect(_pipeline(teacher), QUESTIONS, path, budget_usd=5, **options)
    spent = read_accounts(f"{path}.ledger").spent_usd
    done = collect(_pipeline(teacher), QUESTIONS, path, budget_usd=Decimal("9.2"), **options)

    assert spent is not None
    assert Decimal("4.8") <= spent <= 5
    assert done.spent_usd == Decimal("9.2")
    assert path.read_bytes() == alone


def test_separate_calls_share_a_budget(tmp_path: Path) -> None:
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    questions = QUESTIONS[:8]
    options = {"budget_usd": Decimal("1.6"), "progress": False}
    claims = shard_folder(path) / "claims.json"
    collect_shard(_pipeline(teacher), questions, path, "1/2", **options)
    assert json.loads(claims.read_text()) == {"0": ["0", True], "1": ["0.8", True]}
    collect_shard(_pipeline(teacher), questions, path, "2/2", **options)
    merge_shards(path)

    with pytest.raises(BudgetExceeded):
        collect_shard(_pipeline(teacher), questions, path, "2/2", samples=2, **options)
    assert len(teacher.asked) == 16


def test_a_merge_that_was_cut_off_books_a_shard_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what the other shard may spend does not shrink by what was never spent."""
    path, teacher = tmp_path / "traces.jsonl", Teacher()
    options = {"budget_usd": Decimal("1.6"), "progress": False}
    collect_shard(_pipeline(teacher), QUESTIONS[:8], path, "1/2", **options)
    monkeypatch.setattr(Path, "unlink", _killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            merge_shards(path, [Shard(1, 2).path(path)])

    claims = json.loads((shard_folder(path) / "claims.json").read_text())
    assert claims == {"0": ["0.8", True], "1": ["0", True]}


def test_equal_ledgers_of_two_shards_both_count(
    tmp_path: Path,
) -> None:
    path = tmp_path / "traces.jsonl"
    for shard in ("1/2", "2/2"):
        collect_shard(_pipeline(Teacher()), QUESTIONS[:8], path, shard, progress=False)
    first, second = (Path(f"{Shard(number, 2).path(path)}.ledger") for number in (1, 2))
    second.write_bytes(first.read_bytes())

    assert merge_shards(path).spent_usd == Decimal("1.6")


def test_what_a_batch_holds_keeps_its_number_in_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    rows = [
        {"run": "2026-11-29T00:00:00+00:00", "phase": "collect", "budget_usd": None},
        {"role": "solver", "backend": "teacher 1", "price": ["0", "100000"]},
        {"sent": 3, "role": "solver", "input_tokens": 1, "output_tokens": 1, "attempts": 1}
        | {"batched": "key"},
    ]
    Path(f"{path}.ledger").write_text("".join(json.dumps(row) + "\n" for row in rows))
    collect_shard(_pipeline(Teacher()), QUESTIONS[:8], path, "1/1", progress=False)
    merged = merge_shards(path)

    assert merged.spent_usd == Decimal("1.6")
    assert [made.batched for made in read_accounts(f"{path}.ledger").open.values()] == ["key"]


def test_evaluating_in_shards_gives_the_same_report(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    options = {"shards": 3, "progress": False}
    report = evaluate(lambda: _pipeline(Teacher()), QUESTIONS, path, **options)

    assert report == evaluate(_pipeline(Teacher()), QUESTIONS, path, progress=False)
    with pytest.raises(ConfigError, match="need a path"):
        evaluate(_pipeline(Teacher()), QUESTIONS, **options)


@pytest.mark.parametrize(
    "options", [{"shards": 0}, {"shards": 2, "engine": "spark"}, {"shards": True}]
)
def test_wrong_shards_and_engines_are_refused_before_a_file_is_made(
    tmp_path: Path, options: dict[str, object]
) -> None:
    path = tmp_path / "traces.jsonl"
    with pytest.raises(ConfigError):
        collect(_pipeline(Teacher()), QUESTIONS, path, progress=False, **options)
    assert not path.exists()


def test_a_pipeline_that_cannot_be_sent_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    with pytest.raises(ConfigError, match="give a function of a module"):
        collect(lambda: _pipeline(Teacher()), QUESTIONS, path, shards=2, engine="processes")
    assert not path.exists()
