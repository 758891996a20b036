"""Published layouts are known by their content, and a malformed row is named."""

import dataclasses
import gzip
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from decompose_distill import ConfigError, DataError, MissingExtraError, Question, load_questions
from decompose_distill.cli.options import Reading
from decompose_distill.data import same_question, unique_questions

NO_DATE = {"day": "", "month": "", "year": ""}
DROP = {
    "p1": {
        "passage": "P.",
        "qa_pairs": [
            {
                "question": "Who?",
                "query_id": "a",
                "answer": {"number": "", "date": NO_DATE, "spans": ["Ada", "Bob"]},
                "validated_answers": [{"number": "2", "date": NO_DATE, "spans": []}],
            },
            {
                "question": "When?",
                "query_id": "b",
                "answer": {
                    "number": "",
                    "date": {"day": "2", "month": "May", "year": "1932"},
                    "spans": [],
                },
            },
        ],
    }
}
PARAGRAPH = {"title": "T", "paragraph_text": "x"}
LAYOUTS = {
    "drop.json": (json.dumps(DROP, indent=1), Question("Who?", "Ada\nBob", "P.", ("2",), "a")),
    "drop-on-one-line.json": (json.dumps(DROP), Question("Who?", "Ada\nBob", "P.", ("2",), "a")),
    "dump.jsonl": (
        json.dumps({"context": "Passage: P.\nQuestion: Who?\nAnswer:", "ref_text": "Ada|Bob|Ada"}),
        Question("Who?", "Ada", "P.", ("Bob",)),
    ),
    "bamboogle.csv": ("Who?,,,,Ada,A.,\n", Question("Who?", "Ada", None, ("A.",))),
    "bamboogle.json": (
        json.dumps([{"Question": "Who?", "Answer": "Ada", "Q1": "x", "A2": ["ada", "Ada"]}]),
        Question("Who?", "Ada", None, ("ada",)),
    ),
    "strategyqa.json": (
        json.dumps([{"qid": "q", "question": "Is it?", "answer": False, "facts": []}]),
        Question("Is it?", "no", id="q"),
    ),
    "musique.jsonl": (
        json.dumps(
            {"id": "m", "question": "Who?", "answer": "Ada", "answer_aliases": ["A."]}
            | {"paragraphs": [PARAGRAPH, PARAGRAPH]}
        ),
        Question("Who?", "Ada", "T: x\n\nT: x", ("A.",), "m"),
    ),
    "gsm8k.jsonl": (
        json.dumps({"question": "Sum?", "answer": "1 + 1 = 2\n#### 1,002"}),
        Question("Sum?", "1,002"),
    ),
    "numbers.jsonl": ('{"Question": "Sum?", "Answer": 5}', Question("Sum?", "5")),
    "spaced.csv": ("question, answer\r\nWho?,Ada\r\n", Question("Who?", "Ada")),
    "OWN.CSV": ('\ufeffquestion,answer\n\n"W\nho?",Ada\n', Question("W\nho?", "Ada")),
    "own.tsv": ("question\tanswer\nWho?\tAda, then\n", Question("Who?", "Ada, then")),
    "own.csv": ('question,answer\n"Who, then?",Ada\n', Question("Who, then?", "Ada")),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("zipped", [False, True])
def test_each_published_layout_is_recognised(name: str, zipped: bool, tmp_path: Path) -> None:
    text, first = LAYOUTS[name]
    path = tmp_path / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())

    assert load_questions(path)[0] == first


def test_the_unanswerable_twin_of_a_question_does_not_take_its_place(tmp_path: Path) -> None:
    row = {"id": "m", "question": "Who?", "answer": "Ada", "answer_aliases": []}
    path = tmp_path / "musique_full.jsonl"
    twins = [
        row | {"answerable": answerable, "paragraphs": [PARAGRAPH] * (1 + answerable)}
        for answerable in (True, False)
    ]
    path.write_text("\n".join(map(json.dumps, twins)))
    answerable, unanswerable = load_questions(path)

    assert (answerable.id, answerable.golds, unanswerable.golds) == ("m", ("Ada",), ())
    assert unanswerable.id != "m"


def test_a_test_file_without_answers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "musique_test.jsonl"
    path.write_text(json.dumps({"id": "m", "question": "Who?", "paragraphs": [PARAGRAPH]}))

    assert load_questions(path) == (Question("Who?", context="T: x", id="m"),)


def test_a_date_is_written_day_first(tmp_path: Path) -> None:
    path = tmp_path / "drop.json"
    path.write_text(json.dumps(DROP, indent=1))

    assert load_questions(path)[1].answer == "2 May 1932"


def test_fields_of_any_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"problem": "6 x 7?", "solution": 42, "id": 7}\n')
    [question] = load_questions(path, fields={"question": "problem", "answer": "solution"})

    assert question == Question("6 x 7?", "42", id="7")
    with pytest.raises(DataError, match=rf"{path}:1: missing field 'task'; it has problem"):
        load_questions(path, fields={"question": "task"})
    with pytest.raises(ConfigError, match="unknown name 'gold'"):
        load_questions(path, fields={"gold": "solution"})


@pytest.mark.parametrize(
    ("row", "golds"),
    [
        ({"answer": ["Ada", "A."]}, ("Ada", "A.")),
        ({"answer": 72, "aliases": [72.5, True, "72"]}, ("72", "72.5", "yes")),
        ({"answer": "Ada", "aliases": None}, ("Ada",)),
        ({"answer": "", "aliases": [" "]}, ()),
        ({"answer": None, "aliases": "Ada"}, ("Ada",)),
    ],
)
def test_every_accepted_answer_is_kept_and_a_blank_one_is_none(
    row: dict[str, Any], golds: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"question": "Who?", **row}))

    assert load_questions(path)[0].golds == golds


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"task": 5}, ":1: field 'task' must be str, not int"),
        ({"task": " "}, ":1: field 'task' is empty"),
        ({"task": None}, ":1: field 'task' is empty"),
        ({"task": "Who?", "gold": {"text": "Ada"}}, ":1: field 'gold' must hold text or numbers"),
        ({"task": "Who?", "gold": "Ada", "id": 1.5}, ":1: field 'id' must be str, not float"),
    ],
)
def test_a_wrong_value_is_named_by_the_field_of_the_file(
    row: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"gold": "x", **row}))

    with pytest.raises(DataError) as caught:
        load_questions(path, fields={"question": "task", "answer": "gold"})
    assert fault in str(caught.value)


def test_two_questions_with_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [{"question": text, "id": 1} for text in ("Who?", "Who?", "When?")]
    path.write_text("\n".join(map(json.dumps, rows)))

    with pytest.raises(DataError, match=r"own.jsonl:3: .*'1' is another question at .*own.jsonl:1"):
        load_questions(path)


def test_the_gold_follows_the_marker_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"problem": "Sum?", "solution": "1 + 1 = 2\n#### 2"}))

    [question] = load_questions(path, fields={"question": "problem", "answer": "solution"})
    assert question == Question("Sum?", "2")


def test_an_unknown_layout_says_how_to_name_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"problem": "6 x 7?"}\n')

    with pytest.raises(DataError, match=r"own.jsonl:1: missing field 'question', and no known"):
        load_questions(path)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        (
            "a.jsonl",
            '{"paragraphs": [{"title": "T"}], "question": "x", "id": "m"}',
            ":1: field 'paragraphs': a passage needs one of sentences, paragraph_text",
        ),
        (
            "a.json",
            '[{"passage": "P.",\n"question": "x", "answer": {}}]',
            ": row 1: missing field 'number' of DROP; of a file of your own, name the fields",
        ),
        (
            "a.jsonl",
            '{"passage": "P.", "question": "Is it?", "query_id": "q", "answer": true}',
            ":1: field 'answer' must be dict, not bool; of a file of your own, name the fields",
        ),
        (
            "a.jsonl",
            '{"paragraphs": [3], "question": "x", "id": "m"}',
            ":1: field 'paragraphs' must hold passages, not int; of a file of your own",
        ),
        ("a.csv", "question,answer\nx\n", ":2: 1 cells, where 2 are named"),
        ("a.jsonl.gz", "\x1f\x8bnonsense", "a.jsonl.gz: cannot be read: "),
        (
            "a.jsonl.gz",
            "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff",
            "a.jsonl.gz: cannot be read: ",
        ),
        ("a.csv", "question\nWho?\ncaf\xe9?\n", "a.csv:3: not UTF-8"),
    ],
)
def test_a_malformed_row_is_named(name: str, text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(DataError) as caught:
        load_questions(path)
    assert fault in str(caught.value)


def test_a_dataset_is_loaded_from_the_hub_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(name: str, configuration: str | None, *, split: str) -> list[dict[str, str]]:
        asked.append((name, configuration, split))
        if split == "nowhere":
            raise ValueError("Unknown split")
        return [{"question": "Sum?", "answer": "…\n#### 2"}]

    stand_in = ModuleType("datasets")
    stand_in.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", stand_in)

    assert load_questions("gsm8k", split="train") == (Question("Sum?", "2"),)
    assert asked == [("openai/gsm8k", "main", "train")]
    with pytest.raises(DataError, match="split 'nowhere': Unknown split"):
        load_questions("gsm8k", split="nowhere")


def test_a_folder_named_as_a_dataset_does_not_hide_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gsm8k").mkdir()
    monkeypatch.chdir(tmp_path)
    stand_in = ModuleType("datasets")
    stand_in.load_dataset = lambda *_, split: [{"question": split}]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", stand_in)

    assert load_questions("gsm8k") == (Question("test"),)
    assert Reading().load("gsm8k", "train") == (Question("train"),)


def test_whatever_the_hub_fails_with_is_told_as_an_error_of_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class GenerationError(Exception):
        pass

    def load_dataset(*_: Any, split: str) -> None:
        raise GenerationError("cut off in the middle")

    stand_in = ModuleType("datasets")
    stand_in.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", stand_in)

    with pytest.raises(DataError, match=r"musique: cannot load dgslibisey/MuSiQue.*in the middle"):
        load_questions("musique")


def test_without_the_extra_the_command_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'decompose-distill\[datasets\]'"):
        load_questions("drop")


def test_a_file_has_no_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split is of datasets from the hub"):
        load_questions(tmp_path / "x.jsonl", split="train")


def test_questions_of_two_files_that_both_count_from_one_are_not_taken_for_one_another(
    tmp_path: Path,
) -> None:
    files = [tmp_path / "ants.jsonl", tmp_path / "spiders.jsonl"]
    rows = [("How many legs have 3 ants?", "18"), ("How many legs have 2 spiders?", "16")]
    for file, (text, answer) in zip(files, rows, strict=True):
        file.write_text(json.dumps({"id": "1", "question": text, "answer": answer}))
    ants, spiders = (load_questions(file) for file in files)

    assert unique_questions([*ants, *ants]) == ants
    with pytest.raises(DataError, match="two different questions have the id '1'"):
        unique_questions([*ants, *spiders])


@pytest.mark.parametrize("name", ["question", "context"])
def test_another_text_under_an_id_is_another_question(name: str, tmp_path: Path) -> None:
    before, after = (
        load_questions(_written(tmp_path, {"id": "7", "question": "Sum?", name: text}))[0]
        for text in ("What is 14 plus 9?", "What is 14 plus 19?")
    )

    assert before.id == after.id
    assert not same_question(before, after)
    assert same_question(before, dataclasses.replace(before, answer="23"))


def _written(folder: Path, row: dict[str, str]) -> Path:
    (folder / "own.jsonl").write_text(json.dumps(row))
    return folder / "own.jsonl"
