"""What users import and type goes on working: names, arguments and options of the first version.

`surface.json` holds them as they were. Arguments may be added, never renamed or taken away.
`.ci/run` runs this folder against the installed wheel too.
"""

import inspect
import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

import decompose_distill as dd
from decompose_distill.cli import app

SURFACE = json.loads(Path(__file__).with_name("surface.json").read_text(encoding="utf-8"))


def _arguments(value: Any) -> list[str]:
    try:
        return list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return []


@pytest.mark.parametrize("name", SURFACE["names"])
def test_a_public_name_takes_the_arguments_it_took(name: str) -> None:
    assert set(SURFACE["names"][name]) <= set(_arguments(getattr(dd, name)))


@pytest.mark.parametrize(
    "name",
    [name for name, arguments in SURFACE["names"].items() if name[0].isupper() and arguments],
)
def test_values_take_their_fields_in_the_order_they_took_them(name: str) -> None:
    kept = [each for each in _arguments(getattr(dd, name)) if each in SURFACE["names"][name]]

    assert kept == SURFACE["names"][name]


@pytest.mark.parametrize("name", SURFACE["commands"])
def test_a_command_takes_the_options_it_took(name: str) -> None:
    command: Any = typer.main.get_command(app)
    options = {
        option
        for each in command.commands[name].params
        for option in (each.opts if each.param_type_name == "option" else [f"<{each.name}>"])
    }

    assert set(SURFACE["commands"][name]) <= options


def test_the_command_is_installed() -> None:
    [script] = entry_points(group="console_scripts", name="decompose-distill")

    assert script.value == "decompose_distill.cli:main"
