"""`docs/llms.txt`: the pages in the order of the navigation, each with its first sentence.

`python -m tests.support.llms` writes it.
"""

import re
from collections.abc import Iterator

from tests.support.docs_blocks import ROOT

PAGE = ROOT / "docs" / "llms.txt"
_ENTRY = re.compile(r"^ +- ([^:\n]+): ([\w/-]+\.md)$|^  - ([^:\n]+):$", re.MULTILINE)


def written() -> str:
    """The file as it should be."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    summary = re.findall(r"^site_description: (.*)$", settings, re.MULTILINE)[0]
    return "\n".join(["# decompose-distill", "", f"> {summary}", *_entries()]) + "\n"


def _entries() -> Iterator[str]:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for title, page, section in _ENTRY.findall(navigation.partition("\nplugins:")[0]):
        if section:
            yield from ("", f"## {section}", "")
        elif page != "index.md":
            text = (ROOT / "docs" / page).read_text(encoding="utf-8")
            yield f"- [{title}]({page}): {_first_sentence(text)}"


def _first_sentence(page: str) -> str:
    """The first sentence below the heading, without Markdown's links."""
    lines = page.split("\n")
    skipped = ("#", "<", "!", ":::", "|", "```", "*The")
    first = next(line for line in lines if line and not line.startswith(skipped))
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", first).replace("**", "")
    return re.split(r"(?<=[.:]) ", text)[0].rstrip(":")


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
