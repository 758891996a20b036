"""Values as people see them: short on a line, a table in a notebook, a data frame of pandas."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from decompose_distill.errors import MissingExtraError

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_IN_LINE, MOST_IN_CELL = 60, 500
"""Characters of a text that are shown; a passage may have tens of thousands."""


def shortened(text: str, most: int = MOST_IN_LINE) -> str:
    """A text on one line, cut where it is long.

    Example:
        >>> shortened("How old are Ada\\nand Bob together?", 20)
        'How old are Ada and…'
    """
    line = " ".join(text[: 4 * most].split())
    is_whole = len(text) <= 4 * most and len(line) <= most
    return line if is_whole else line[: most - 1].rstrip() + "…"


def html_table(rows: Iterable[Sequence[str]]) -> str:
    """A table for notebooks, its first row the head; text is escaped, and cut where it is long.

    Example:
        >>> html_table([["name"], ["a < b"]])
        '<table><tr><th>name</th></tr><tr><td>a &lt; b</td></tr></table>'
    """
    from html import escape

    def line(tag: str, row: Sequence[str]) -> str:
        texts = (escape(shortened(text, MOST_IN_CELL)) for text in row)
        return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"

    lines = (line("td" if number else "th", row) for number, row in enumerate(rows))
    return f"<table>{''.join(lines)}</table>"


def data_frame(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "DataFrame":
    """Rows as a data frame of pandas, which is loaded here and nowhere else.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise MissingExtraError("to_pandas needs pandas: pip install pandas") from error
    return DataFrame([*map(tuple, rows)], columns=[*columns])
