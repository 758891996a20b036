"""Time of reading and scoring against the length of the text, on texts made to be slow.

    python benchmarks/parsing.py --json parsing.json
    python benchmarks/parsing.py --only parse --lengths 4000 16000 --limit 1.5  # in seconds

Each reader and score gets hostile texts (digits, spaces, opening marks, braces, brackets, line ends
without end, marks that never close) of doubling length. The growth exponent is the slope of the
logarithm of the time over that of the length: 1 is linear, 2 quadratic. It is to be at most 1.1 for
each reader, over its slowest texts; one above is measured again, as a busy machine shows as growth.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, get_args

from decompose_distill import ParseError, parsing, scores

LENGTHS = (25_000, 50_000, 100_000, 200_000)
MAX_EXPONENT = 1.1
ATTEMPTS = 4
MIN_SECONDS = 0.002
"""Times below are too short to tell growth from noise."""
HOSTILE = (
    *(
        "1",
        "a",
        " ",
        "\n",
        "\t",
        ".",
        "?",
        "-",
        "*",
        "_",
        "#",
        "=",
        "$",
        "`",
        '"',
        "'",
        "\\",
        "é",
        "한",
    ),
    *(
        "(",
        "[",
        "{",
        "<",
        "{}",
        "[[",
        '["a",',
        '{"a":',
        "<think>",
        "</think>",
        "[THINK]",
        "<|channel|>",
    ),
    *(
        "<answer>",
        "</answer>",
        "<q>a",
        "</q>",
        "<li>",
        "<br>",
        "\\boxed{",
        "\\frac{",
        "\\text{",
        "^{",
    ),
    *(
        "1. ",
        "1.1.",
        "1, ",
        "1,",
        "1,11,",
        "1/2 ",
        "(a) ",
        "i. ",
        "A. ",
        "Q1: ",
        "Step 1 ",
        "- a\n",
    ),
    *(
        "1. a\n",
        "1. a\nb\n\n",
        "  - a\n",
        "> ",
        "###\n",
        "```\n",
        "| a | b |\n",
        "|-|\n",
        "|-",
        "---",
    ),
    *(
        "a? ",
        "? ",
        ": ",
        "a:b ",
        "answer: ",
        "the answer is ",
        "final answer (",
        "####",
        "#### a\n",
    ),
    *("because ", ", because ", "no ", "not ", "no decomposition ", "no need to ", "yes ", "n't "),
    *(
        "let me know. ",
        "Sure. ",
        "to find it we ask ",
        "assistantfinal",
        "<s> ",
        "<|x",
        "\\n",
        "\u200b",
    ),
    *('"question": "', "subquestions: [", "½", "e\u0301", "10{,}000 ", "\\frac1", "a;", "• a "),
)
FRAMES = (("", ""), ("1. ", "."), ("x ", "?"))

Reader = Callable[[str], object]


def readers() -> dict[str, Reader]:
    named: dict[str, Reader] = {
        "parse_subquestions": parsing.parse_subquestions,
        "parse_circle": parsing.parse_circle,
        "parse_answer": parsing.parse_answer,
        "replace_answer": lambda text: parsing.replace_answer(text, "72"),
        "split_thinking": parsing.split_thinking,
    }
    for name in get_args(scores.ScoreName):
        score = scores.as_score(name)
        named[f"{name}: answer"] = lambda text, score=score: score(text, ["72 km"])
        named[f"{name}: gold"] = lambda text, score=score: score("72 km", [text])
    return named


def seconds(reader: Reader, text: str, repeats: int = 1) -> float:
    """The least of some processor times, so that a busy machine shows as little as it can."""
    least = math.inf
    for _ in range(repeats):
        start = time.process_time()
        with suppress(ParseError):
            reader(text)
        least = min(least, time.process_time() - start)
    return least


class Text(NamedTuple):
    """What a hostile text repeats, and what stands around it."""

    piece: str
    before: str
    after: str


def hostile(text: Text, length: int) -> str:
    inside = length - len(text.before + text.after)
    return text.before + (text.piece * (inside // len(text.piece) + 1))[:inside] + text.after


def exponent(times: Sequence[float], lengths: Sequence[int]) -> float:
    """Slope of log time over log length, by least squares."""
    points = [(math.log(x), math.log(y)) for x, y in zip(lengths, times, strict=True)]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


def growth(reader: Reader, text: Text, lengths: Sequence[int], limit: float) -> float:
    """The exponent of one text, the least of some attempts where it looks too steep."""
    least = math.inf
    for attempt in range(1, ATTEMPTS + 1):
        times = [seconds(reader, hostile(text, length), attempt) for length in lengths]
        least = min(least, exponent(times, lengths))
        if least <= limit:
            break
    return least


def measure(reader: Reader, lengths: Sequence[int], limit: float) -> dict[str, object]:
    """The slowest text of a reader, and the largest exponent of it and of texts that look steep."""
    texts = [Text(piece, *frame) for piece in HOSTILE for frame in FRAMES]
    times = {
        text: [seconds(reader, hostile(text, length)) for length in lengths[-2:]] for text in texts
    }
    slowest = max(texts, key=lambda text: times[text][-1])
    steep = [
        text
        for text, (half, whole) in times.items()
        if whole > max(MIN_SECONDS, (lengths[-1] / lengths[-2]) ** limit * half)
    ]
    exponents = {text: growth(reader, text, lengths, limit) for text in [slowest, *steep]}
    steepest = max(exponents, key=lambda text: exponents[text])
    return {
        "seconds": round(times[slowest][-1], 3),
        "slowest": repr(slowest.before + slowest.piece),
        "exponent": round(exponents[steepest], 3),
        "steepest": repr(steepest.before + steepest.piece),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path, help="write the figures to this file")
    arguments.add_argument("--only", help="measure only readers whose name holds this")
    arguments.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    arguments.add_argument("--limit", type=float, default=MAX_EXPONENT, help="largest exponent")
    options = arguments.parse_args()
    chosen = {name: read for name, read in readers().items() if (options.only or "") in name}
    if not chosen:
        print(f"no reader is called {options.only}", file=sys.stderr)
        return 2
    figures = {}
    for name, reader in chosen.items():
        figures[name] = row = measure(reader, options.lengths, options.limit)
        print(
            f"{name:24} {row['seconds']:8} s at {options.lengths[-1]:,}, exponent {row['exponent']}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
    steep = [name for name, row in figures.items() if float(str(row["exponent"])) > options.limit]
    if steep:
        print(f"time grows faster than the length: {', '.join(steep)}", file=sys.stderr)
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())
