"""The face of a package: its public names, each imported on first use (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence


def lazy(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names live in modules below it.

    Importing the package imports none of them, so a face costs nothing: torch and numpy load
    where they are used.

    Args:
        package: Its `__name__`.
        homes: Public names by the module they live in.

    Example:
        >>> get, names = lazy("decompose_distill.cost", {"pricing": ("Price",)})
        >>> get("Price").__name__, names()
        ('Price', ['Price'])
    """
    home = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

    def get(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home[name]), name)

    return get, lambda: sorted(home)
