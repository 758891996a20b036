"""Settings in a file: read like options, refused with file and key, kept beside the output."""

import builtins
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill.cli.commands import COMMANDS
from decompose_distill.cli.settings import Setting, read_settings, settings_of, to_toml
from decompose_distill.cli.values import convert
from decompose_distill.errors import MissingExtraError

COLLECT = settings_of(COMMANDS["collect"])
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {
            "samples": st.integers(),
            "batch": st.booleans(),
            "temperature": st.floats(allow_nan=False, allow_infinity=False),
            "solver": TEXTS.filter(lambda text: "http" not in text),
            "fields": st.dictionaries(TEXTS, TEXTS, min_size=1),
            "budget_usd": st.decimals(allow_nan=False, allow_infinity=False),
            "seeds": st.lists(st.integers()).map(tuple),
        }
    )
)
def test_what_is_written_reads_back_as_the_same(values: dict[str, Any]) -> None:
    values["fields"] = {name: text for name, text in values["fields"].items() if "http" not in text}
    read = tomllib.loads(to_toml(values), parse_float=Decimal)

    again = {"seeds": tuple(read["seeds"]), "temperature": float(read["temperature"])}

    assert read | again == values


@pytest.mark.parametrize(
    "address",
    [
        "openai:m@http://me:secret@host/v1?api-key=secret",
        "https://me:s@cret@host/v1?api-key=secret&x=secret",
    ],
)
def test_no_credential_is_written(address: str) -> None:
    [line] = to_toml({"teacher": address}).splitlines()

    assert "secret" not in line
    assert "cret" not in line
    assert "host/v1" in line


def _read(path: Path, text: str, known: Sequence[Setting] = COLLECT) -> dict[str, Any]:
    path.write_text(text, encoding="utf-8")
    return read_settings(path, known)


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    toml = 'samples = 2\ntemperature = 0.5\nfields = {question = "frage"}\noutput = "t.jsonl"\n'
    yaml = "samples: 2\ntemperature: 5e-1\nfields: {question: frage}\noutput: t.jsonl\nsolver:\n"

    assert _read(tmp_path / "a.toml", toml) == _read(tmp_path / "a.yaml", yaml)


def test_lists_may_be_lists_or_texts_with_commas(tmp_path: Path) -> None:
    known = settings_of(COMMANDS["paper"])

    assert _read(tmp_path / "a.toml", "seeds = [0, 1]\nrows = 'none,CoT'", known) == {
        "seeds": (0, 1),
        "rows": ("none", "CoT"),
    }


def test_yaml_needs_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_yaml(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    with pytest.raises(MissingExtraError, match="pip install pyyaml, or write TOML"):
        _read(tmp_path / "a.yaml", "samples: 2")


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        ("0.1", Decimal | float | None, Decimal("0.1")),
        (0.1, float, 0.1),
        ("none", float | None, None),
        ("none", str | None, "none"),
        ("a=b, c=d", dict[str, str], {"a": "b", "c": "d"}),
        (["1", "2,3"], tuple[int, ...], (1, 2, 3)),
        (True, bool, True),
    ],
)
def test_values_are_read_as_their_fields_have_them(value: object, kind: Any, read: object) -> None:
    assert convert(value, kind) == read


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int),
        (2.5, int),
        ("nan", float),
        (True, float),
        (3, str),
        ("yes", bool),
        ("question", dict[str, str]),
        ({"question": 3}, dict[str, str]),
        ("", Path),
    ],
)
def test_a_value_of_another_kind_is_refused(value: object, kind: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        convert(value, kind)
