"""The oldest versions that pyproject.toml allows, as constraints for pip.

`python -m tests.support.oldest` prints them.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def oldest() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = (re.fullmatch(r"([\w-]+)>=([\w.]+)", each) for each in project["dependencies"])
    return [f"{bound[1]}=={bound[2]}.*" for bound in bounds if bound]


if __name__ == "__main__":
    print("\n".join(oldest()))
