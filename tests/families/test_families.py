"""Students of every family are trained, saved and sampled alike, or refused in words.

The table in `docs/reference/families.md` is what these tests see:
`python -m tests.families.table` writes it anew.
"""

from pathlib import Path

import pytest

from tests.families.families import BY_NAME, FAMILIES
from tests.families.table import PAGE, row_of
from tests.families.trial import try_family

QUICK = ("Mixtral", "T5")
"""In every run of the tests; the others with `-m families`."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries, of which each family has its own


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(family.name, marks=() if family.name in QUICK else pytest.mark.families)
        for family in FAMILIES
    ],
)
def test_a_family_works_as_the_table_says(name: str, tmp_path: Path) -> None:
    row = str(try_family(BY_NAME[name], tmp_path))

    assert row == row_of(name), "python -m tests.families.table"


def test_every_family_is_in_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [f"| {family.name} |" in page for family in FAMILIES] == [True] * len(FAMILIES)
