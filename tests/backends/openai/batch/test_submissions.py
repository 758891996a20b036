"""Lines of a batch's files: any request goes out, anything may come in."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from decompose_distill.backends.openai.batch.submissions import (
    Again,
    BatchRegister,
    Refused,
    Submission,
    encode_line,
    outcome,
    read_line,
)
from decompose_distill.backends.openai.providers import provider_named
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.errors import DataError
from decompose_distill.types import Completion, Message, Request

REQUEST = Request("id", (Message("user", "Hi"),))
ANY_TEXT = some.text(some.characters())  # lone surrogates and all line ends too
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | ANY_TEXT,
    lambda inner: some.lists(inner) | some.dictionaries(ANY_TEXT, inner),
    max_leaves=8,
)
ANY_ERROR = ANYTHING | some.fixed_dictionaries({"code": ANYTHING, "message": ANYTHING})
ANY_CHOICE = ANYTHING | some.fixed_dictionaries({"message": ANYTHING, "finish_reason": ANYTHING})
ANY_BODY = ANYTHING | some.fixed_dictionaries({"choices": some.lists(ANY_CHOICE)})
ANY_STATUS = ANYTHING | some.sampled_from([0, 200, 204, 400, 429, 500, 999])
ANY_RESPONSE = ANYTHING | some.fixed_dictionaries({"status_code": ANY_STATUS, "body": ANY_BODY})


@given(ANY_TEXT, some.dictionaries(ANY_TEXT, ANYTHING))
def test_any_request_is_one_line_that_reads_as_it_was(name: str, body: dict[str, Any]) -> None:
    line = encode_line(name, body)
    row = read_line(line)

    assert line.count(b"\n") == 1
    assert row is not None
    assert row["custom_id"] == name
    assert json.dumps(row["body"]) == json.dumps(body)


@given(some.binary() | ANYTHING.map(lambda each: json.dumps(each).encode()))
def test_any_line_is_read_or_is_none(line: bytes) -> None:
    row = read_line(line)

    assert row is None or isinstance(row["custom_id"], str)


@given(some.fixed_dictionaries({"response": ANY_RESPONSE, "error": ANY_ERROR}))
def test_anything_that_came_of_a_request_is_a_completion_or_goes_again(row: dict[str, Any]) -> None:
    result = outcome(REQUEST, row, Secret(), "batch_1", provider_named("plain"))

    assert isinstance(result, Completion | Again | Refused)
    completion = result.completion if isinstance(result, Refused) else result
    if isinstance(completion, Completion):
        assert completion.id == "id"
        assert bool(completion.error) == (completion.finish == "error")


@given(names=some.sets(ANY_TEXT, min_size=1), attempt=some.integers(1, 9), identity=ANY_TEXT)
def test_what_was_submitted_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], attempt: int, identity: str
) -> None:
    path = tmp_path_factory.mktemp("kept") / "batches"
    kept = BatchRegister(path)
    made = Submission(identity, frozenset(names), attempt)
    kept.intend(made)
    made = kept.created(kept.order(made, "file-1"), "batch_1")
    one = min(names)

    assert BatchRegister(path).unsettled(identity) == dict.fromkeys(names, made)
    kept.settle(made, frozenset({one}))
    assert BatchRegister(path).unsettled(identity).keys() == names - {one}
    kept.settle(made, made.custom_ids)
    assert BatchRegister(path).unsettled(identity) == {}


@given(content=some.binary())
def test_any_file_is_read_or_named_in_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path: Path = tmp_path_factory.mktemp("kept") / "batches"
    path.write_bytes(content)
    found = str(path)
    try:
        BatchRegister(path)
    except DataError as error:
        found = str(error)

    assert found.startswith(str(path))
