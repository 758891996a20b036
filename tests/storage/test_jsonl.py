"""A file of lines: one writer, repaired after a kill, rewritten whole or not at all."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import ConfigError, DataError
from decompose_distill.storage.atomic import replacing
from decompose_distill.storage.jsonl import (
    MOST_NESTED,
    JsonlFile,
    check_nesting,
    decode_foreign,
    decode_object,
    typed,
)


def _write(path: Path, *lines: str) -> list[int]:
    with JsonlFile(path) as file:
        return [file.append(line) for line in lines]


def test_a_line_is_read_back_from_where_it_was_put(tmp_path: Path) -> None:
    words = ["{}", json.dumps({"long": "x" * 10_000}), json.dumps("é")]
    with JsonlFile(tmp_path / "lines") as file:
        places = [file.append(word) for word in words]

        assert [file.read(place) for place in places] == words
        assert file.read(file.append("[1]")) == "[1]"


@pytest.mark.parametrize(
    ("torn", "left"),
    [
        ('{"a": 1', ""),
        ("{", ""),
        ('{"a": "' + "x" * 100_000, ""),
        ("\0\0\0", ""),
        ('{"a": 1}', '{"a": 1}\n'),  # whole, and paid for
    ],
)
def test_a_last_line_without_its_end_is_cut_off_or_completed(
    torn: str, left: str, tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    path.write_text('{"kept": 1}\n' + torn)
    _write(path, '{"new": 1}')

    assert path.read_text() == '{"kept": 1}\n' + left + '{"new": 1}\n'


def test_a_file_that_ends_in_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary,\ntoday")

    with pytest.raises(DataError, match=r"notes.txt: not JSON: it ends in b'today'"):
        JsonlFile(path)
    assert path.read_text() == "dear diary,\ntoday"


@given(st.lists(st.integers(0, 3), max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_lines_are_put_last_in_order_and_the_dropped_are_gone(kinds: list[int], chance) -> None:  # type: ignore[no-untyped-def]
    """Of each line the kind decides: 0 is dropped, 1 stays, others are put last."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, JsonlFile(Path(folder) / "lines") as file:
        lines = [json.dumps([number, "x" * (number * 7 % 20)]) for number in range(len(kinds))]
        places = [file.append(line) for line in lines]
        last = [number for number, kind in enumerate(kinds) if kind > 1]
        chance.shuffle(last)
        dropped = {place for place, kind in zip(places, kinds, strict=True) if kind == 0}
        file.put_last([places[number] for number in last], dropped)
        file.append('"more"')
        stayed = [line for line, kind in zip(lines, kinds, strict=True) if kind == 1]

        assert file.path.read_text().splitlines() == [
            *stayed,
            *(lines[number] for number in last),
            '"more"',
        ]


def test_a_rewrite_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("old\n")

    def fail() -> None:
        with replacing(path) as new:
            new.write_text("new\n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old\n"
    assert [*tmp_path.iterdir()] == [path]


def test_another_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    code = (
        "import sys\nfrom decompose_distill.storage.jsonl import JsonlFile\n"
        "from decompose_distill import ConfigError\n"
        "try: JsonlFile(sys.argv[1])\n"
        "except ConfigError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", code, str(path)]
    with JsonlFile(path):
        held = subprocess.run(command, capture_output=True, text=True, check=False)
    free = subprocess.run(command, capture_output=True, text=True, check=False)

    assert held.returncode == 1
    assert "lines is being written by another run: wait for it, or name another" in held.stderr
    assert free.returncode == 0, free.stderr


def test_another_part_of_this_process_is_refused_too(tmp_path: Path) -> None:
    with (
        JsonlFile(tmp_path / "lines"),
        pytest.raises(ConfigError, match="another run"),
    ):
        JsonlFile(tmp_path / "lines")


@contextmanager
def _full_disk(size: int) -> Iterator[None]:
    """Files cannot grow above some bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path, line = tmp_path / "lines", json.dumps({"words": "x" * 100})
    with JsonlFile(path) as file:
        file.append(line)
        with (
            _full_disk(150),
            pytest.raises(DataError, match=r"lines: cannot write: .*free some space"),
        ):
            file.append(line)
        file.append('{"room": 1}')  # made meanwhile, by another program
    _write(path, '{"later": 1}')

    assert path.read_text().splitlines() == [line, '{"room": 1}', '{"later": 1}']


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_while_rewriting_leaves_the_old_file(tmp_path: Path) -> None:
    path, lines = tmp_path / "lines", [json.dumps(str(number) * 100) for number in range(3)]
    with JsonlFile(path) as file:
        places = [file.append(line) for line in lines]
        with _full_disk(150), pytest.raises(DataError, match="cannot write"):
            file.put_last(places[::-1], ())
    with JsonlFile(path):
        pass  # and can be opened again

    assert path.read_text().splitlines() == lines


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"file/lines: cannot write: "):
        JsonlFile(tmp_path / "file" / "lines")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_line_of_ours_holds_no_number_that_is_none(number: str) -> None:
    with pytest.raises(DataError, match=f"x:1: not JSON: {number} is no number"):
        decode_object(f'{{"usd": {number}}}', "x:1")
    with pytest.raises(DataError, match="field 'time' must be a finite number, not inf"):
        typed(decode_object('{"time": 1e999}', "x:1"), "time", float, "x:1")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', "x:1: not JSON: field 'a' stands in one object twice"),
        ('{"b": [{"a": "x", "a": null}]}', "x:1: not JSON: field 'a' stands in one object twice"),
        ("[" * 200_000, f"x:1: nested deeper than {MOST_NESTED} levels"),
        ('{"a": ' * 200_000, f"x:1: nested deeper than {MOST_NESTED} levels"),
        ("9" * 5000, "x:1: not JSON: Exceeds the limit"),
        ('{"a": }', "x:1: not JSON: Expecting value, column 7"),
    ],
)
def test_json_of_others_that_would_be_misread_is_refused(text: str, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        decode_foreign(text, "x:1")
    assert str(caught.value).startswith(fault)


def test_the_line_of_a_text_of_several_is_named() -> None:
    with pytest.raises(DataError, match=r"x:4: not JSON: Expecting value, column 6"):
        decode_foreign('{\n"a": }', "x", 3)


def test_json_of_others_may_say_one_thing_twice_and_leave_numbers_out() -> None:
    value = decode_foreign('{"a": 1, "a": 1, "b": NaN}', "x:1")

    assert value["a"] == 1
    assert value["b"] != value["b"]


def test_the_field_that_is_nested_too_deep_is_named() -> None:
    row = {"question": "Who?", "answer": json.loads("[" * MOST_NESTED + "]" * MOST_NESTED)}

    check_nesting(row["answer"], "x:1")
    with pytest.raises(DataError, match="x:1: field 'answer' is nested deeper than 100 levels"):
        check_nesting(row, "x:1")
