"""The tables of the page on the command line, from the commands and from the mistakes tested.

`python -m tests.cli.reference` writes them into the page.
"""

import re
from collections.abc import Iterator

from decompose_distill.cli.commands import COMMANDS
from decompose_distill.cli.settings import REQUIRED, Setting, settings_of
from tests.cli.mistakes import MISTAKES
from tests.support.docs_blocks import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"
_BLOCK = re.compile(r"(<!-- (options|mistakes)(?:: ([\w-]+))? -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page with every marked table as the code has it."""

    def table(match: re.Match[str]) -> str:
        lines = _mistakes() if match[2] == "mistakes" else _options(match[3])
        return f"{match[1]}\n{chr(10).join(lines)}\n\n{match[4]}"

    return _BLOCK.sub(table, page)


def _options(command: str) -> Iterator[str]:
    yield from (_row("Argument or option", "Default", "Meaning"), "|---|---|---|")
    for setting in settings_of(COMMANDS[command]):
        yield _row(_name(setting), _default(setting), setting.help)


def _name(setting: Setting) -> str:
    if setting.positional:
        return f"`{setting.name}`"
    flags = [flag for each in setting.flags for flag in each.split("/")]
    return ", ".join(f"`{flag}`" for flag in flags)


def _default(setting: Setting) -> str:
    if setting.default is REQUIRED:
        return "required"
    return f"`{setting.written}`" if setting.written else "–"


def _mistakes() -> Iterator[str]:
    yield from (_row("What is wrong", "Message after `error: `", "Code"), "|---|---|---|")
    for mistake in MISTAKES:
        message = mistake.message.replace("URL", "http://localhost:8000/v1")
        yield _row(mistake.what, f"`{message}`", str(mistake.code))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
