"""The table of families in the documentation: `python -m tests.families.table [FAMILY ...]`."""

import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import pytest

from tests.families.families import BY_NAME, FAMILIES
from tests.families.trial import HEAD, try_family

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "families.md"
BEGIN, END = "<!-- families -->\n", "\n<!-- /families -->"


def row_of(name: str) -> str:
    """The line of a family on the page; empty where there is none."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.startswith(f"| {name} |")), "")


def main(names: list[str]) -> None:
    """Try families, by default all, and write their lines."""
    warnings.simplefilter("ignore")
    rows = {family.name: row_of(family.name) for family in FAMILIES}
    for name in names or rows:
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows[name] = str(try_family(BY_NAME[name], Path(folder)))
            except pytest.skip.Exception as reason:
                print(f"{name}: {reason}", file=sys.stderr)
            except AssertionError:
                rows[name] = ""
                traceback.print_exc(limit=-2)
        print(rows[name], flush=True)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join((HEAD, *filter(None, rows.values())))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
