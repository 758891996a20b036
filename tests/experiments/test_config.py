"""PaperConfig: plain settings, the same as the arguments of `paper`, refused by name."""

import inspect
import tomllib
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from decompose_distill import ConfigError, PaperConfig, paper
from decompose_distill.experiments.run import _override


def test_each_setting_is_an_argument_of_paper_too() -> None:
    assert {field.name for field in fields(PaperConfig)} <= {*inspect.signature(paper).parameters}


def test_a_file_holds_it() -> None:
    text = 'rows = ["none", "S_D-R"]\nseeds = [0, 1]\nbudget_usd = 2.5\nscore = "gsm8k"'

    config = PaperConfig(**tomllib.loads(text))

    assert config == PaperConfig(
        rows=("none", "S_D-R"), seeds=(0, 1), budget_usd=2.5, score="gsm8k"
    )


def test_arguments_take_the_place_of_those_settings_alone() -> None:
    config = PaperConfig(rows=("none",), seeds=(0, 1), budget_usd=5)

    assert _override(config, seeds=[7], rows=None, budget_usd=None, progress=False) == PaperConfig(
        rows=("none",), seeds=(7,), budget_usd=5, progress=False
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 0}, "samples must be 1 or more, not 0"),
        ({"seeds": [1, 1]}, r"seeds must be one or more different numbers, not \(1, 1\)"),
        ({"score": "exakt"}, "score cannot be 'exakt'; did you mean 'exact'"),
        ({"budget_usd": 0}, "budget_usd must be above 0"),
        ({"usd_per_hour": Decimal(-1)}, "usd_per_hour must be 0 or more, not -1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PaperConfig(**change)
