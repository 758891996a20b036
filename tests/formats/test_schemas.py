"""The published JSON Schemas fit what this version and earlier ones wrote, and refuse faults."""

import json
from pathlib import Path
from typing import Any

import pytest

import decompose_distill as dd
from decompose_distill import Trace
from tests.support.docs_blocks import ROOT

jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")

SCHEMAS = ROOT / "docs" / "reference" / "schemas"
FILES = Path(__file__).parent / "files"


def _schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def _rows(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]  # else a kill tore it


WRITTEN = [
    *(("trace", path) for path in sorted(FILES.rglob("traces.jsonl"))),
    *(("request", path) for path in sorted(FILES.rglob("traces.jsonl.requests"))),
    ("question", FILES / "given" / "questions.jsonl"),
]


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("name", "path"), WRITTEN, ids=[str(path.relative_to(FILES)) for _, path in WRITTEN]
)
def test_what_earlier_versions_wrote_fits(name: str, path: Path) -> None:
    for row in _rows(path):
        jsonschema.validate(row, _schema(name))


def test_every_manifest_that_was_written_fits() -> None:
    manifests = list(FILES.rglob("decompose_distill.json"))

    assert manifests
    for path in manifests:
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), _schema("manifest"))


def test_what_is_written_today_fits(traces: tuple[Trace, ...], tmp_path: Path) -> None:
    failed = Trace(traces[0].question, dd.Failure(traces[0].question, "solve", "why", "so"))
    dd.write_traces([*traces, failed], tmp_path / "traces.jsonl")
    for row in _rows(tmp_path / "traces.jsonl"):
        jsonschema.validate(row, _schema("trace"))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("question", {"answer": "42"}),
        ("question", {"question": " "}),
        ("question", {"question": ["Who?"]}),
        ("trace", {"schema": 2, "key": "", "sample": 0, "question": {"id": "", "text": ""}}),
        ("trace", {"schema": 1, "key": "", "sample": 0, "question": {"id": "", "text": ""}}),
        ("request", {"schema": 1, "key": "", "text": "", "finish": "error"}),
        ("manifest", {"format": 1, "role": "judge"}),
        ("results", {"name": "row"}),
    ],
)
def test_faults_do_not_fit(name: str, row: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row, _schema(name))
