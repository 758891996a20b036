"""Lines of a model's text without what is around them."""

import re

# Not the power in "2**10" or "2 ** 10", nor a blank that is to be filled in.
_EMPHASIS = re.compile(r"(?<![\w)])\*\*(?=\S)|(?<=\S)\*\*(?![\d(])|(?<!_)__(?!_)|`")


def clean_lines(text: str) -> list[str]:
    """Non-empty lines without code fences and emphasis."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("```")]
    return [line for line in (_EMPHASIS.sub("", line).strip() for line in lines) if line]
