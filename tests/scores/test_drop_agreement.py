"""DROP's scores agree with a public scorer on every contrast-set question, answers perturbed."""

import importlib.util
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from decompose_distill import load_questions, scores

DATA = Path(os.environ.get("DECOMPOSE_DISTILL_DATA", Path(__file__).parents[3] / "shared" / "data"))
CONTRAST = DATA / "drop" / "drop_contrast_sets_test.json"


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    """lm-eval's DROP functions, loaded from their file: the package itself pulls much more."""
    found = find_spec("lm_eval")
    if found is None or not found.submodule_search_locations or find_spec("scipy") is None:
        pytest.skip("pip install --no-deps lm_eval scipy")
    place = Path(found.submodule_search_locations[0], "tasks", "drop", "utils.py")
    spec = importlib.util.spec_from_file_location("lm_eval_drop", place)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _perturbed(gold: str) -> Iterator[str]:
    spans = gold.split("\n")
    yield gold
    yield "\n".join(reversed(spans))
    yield spans[0]
    yield f"{gold}\nand another"
    yield "The " + gold.upper() + "."
    yield gold.replace("\n", " and ")
    yield f"about {spans[-1]} years"
    yield " ".join(gold.split()[1:]) or "7"
    yield f"${spans[0]}"
    yield f"-{spans[0]}"
    yield f"{spans[0]}.5"
    yield f"{spans[0]}, 1,000 and 1/2"
    yield "a-the an"
    yield "\n".join([*spans, *spans])


@pytest.mark.skipif(not CONTRAST.is_file(), reason=f"{CONTRAST} is not there")
def test_drop_agrees_with_lm_eval_on_all_contrast_questions(theirs: ModuleType) -> None:
    questions = load_questions(CONTRAST)
    everything = [gold for question in questions for gold in question.golds]
    compared, faults = 0, []
    for place, question in enumerate(questions):
        golds = {"answers": [tuple(gold.split("\n")) for gold in question.golds]}
        answers = [*_perturbed(question.golds[0]), everything[(place * 37 + 11) % len(everything)]]
        for answer in answers:
            expected = theirs.process_results(golds, answer.split("\n"))
            found = (scores.drop_em(answer, question.golds), scores.drop_f1(answer, question.golds))
            compared += 1
            if found != pytest.approx((expected["em"], expected["f1"]), abs=1e-9):
                faults.append((answer, question.golds, found, expected))

    assert len(questions) == 947
    assert compared == 947 * 15
    assert not faults, (len(faults), faults[:5])
