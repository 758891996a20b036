"""Writes the page on providers from the data that the client uses.

python docs/providers.py
"""

import json
from collections.abc import Iterator
from pathlib import Path

from decompose_distill.backends.openai.providers import PROVIDERS, Provider

PAGE = Path(__file__).parent / "reference" / "providers.md"
HEAD = """\
# Providers

<!-- Written by `python docs/providers.py` from `backends/openai/providers`; change it there. -->

What an `openai:` backend sends to each provider, and what it expects to come back. The provider \
is known by the host of its address, or named:

```python
import decompose_distill as dd

teacher = dd.load_backend("openai:Qwen/Qwen3-32B@http://localhost:8000/v1", provider="vllm")
```

The name alone stands for the address in the first table. Any other server is asked in the plain \
form, and there is no list of models: **what a server refuses is learnt from it**. A setting \
that a status 400 or 422 names is left out from then on, `max_tokens` and \
`max_completion_tokens` take each other's place, a limit above the model's is lowered, and a \
system turn that is refused goes before the user's text. That costs one request more, once, no \
attempt and no money, and is logged as a warning.

Settings that are `None` in [`Sampling`](backends.md#decompose_distill.Sampling) are not sent. \
What has no setting of its own goes through `extra_body`, `extra_headers` and `extra_query` of \
`load_backend` and `OpenAIBackend`:

```python
import os

import decompose_distill as dd

deployed = dd.load_backend(
    "openai:my-deployment",
    base_url="https://name.openai.azure.com/openai/deployments/my-deployment",
    extra_query={"api-version": "2024-10-21"},
    extra_body={"user": "me"},
)
```

"""
REST = """
## What is read of every reply

- **Text**: a content that is text, or the text parts of one that is a list.
- **Thinking**: the first of `reasoning_content`, `reasoning`, `reasoning_details`, thinking \
parts, and blocks such as `<think>` within the text. It is kept in `Completion.reasoning`, and \
never read as subquestions or answers.
- **Tokens**: output is the larger one of `completion_tokens` and `total_tokens` less \
`prompt_tokens`, as that is what is billed wherever thinking is counted. Where one half is \
missing, the most it can be is taken.
- **Cost**: `cost` (in dollars, what the provider behind a gateway bills with a key of your own \
added) or `cost_in_usd_ticks`, which go before the list of prices.
- **Ending**: `stop`, `eos`, `end_turn` and the like are an ordinary end; `length`, \
`model_length`, `max_tokens` and the like a cut; `error`, `abort`, \
`insufficient_system_resource` are asked again. Any other reason is an error with its name.
- **Errors**: in objects, in lists, flat or nested, also with status 200, where the code in the \
body counts.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(_tables()) + REST


def _tables() -> Iterator[str]:
    yield "## What is sent\n"
    yield _row(
        "`provider=`",
        "Provider",
        "Address",
        "Limit",
        "Seed",
        "Effort",
        "Effort `none`",
        "May refuse",
    )
    yield "|---|---|---|---|---|---|---|---|"
    for provider in PROVIDERS:
        yield _row(
            _code(provider.name),
            provider.title,
            _code(provider.base_url or ", ".join(f"*{host}" for host in provider.hosts)),
            _code(provider.limit),
            _code(provider.seed or ""),
            _code(provider.effort),
            _code(json.dumps(provider.effort_none)[1:-1] if provider.effort_none else ""),
            ", ".join(map(_code, provider.refuses)) or "–",
        )
    yield "\nThe key is sent as `Authorization: Bearer …`; " + _other_headers() + "\n"
    yield "## What comes back\n"
    yield _row(
        "Provider", "Thinking text", "Thinking tokens in `usage`", "Cached input", "Cost", "Endings"
    )
    yield "|---|---|---|---|---|---|"
    for provider in PROVIDERS:
        yield _row(
            provider.title,
            ", ".join(part if " " in part else _code(part) for part in provider.thinking)
            or "not shown",
            _tokens(provider),
            _code(provider.cached_tokens),
            _code(provider.cost),
            ", ".join(map(_code, provider.finish_reasons)),
        )
    yield "\n## Notes\n"
    for provider in PROVIDERS:
        if provider.notes:
            yield f"- **{provider.title}**: {' '.join(provider.notes)}"


def _other_headers() -> str:
    others = [each for each in PROVIDERS if each.key_header != "Authorization"]
    return "; ".join(f"to {each.title} as `{each.key_header}: …`" for each in others) + "."


def _tokens(provider: Provider) -> str:
    if " " in provider.thinking_tokens:
        return provider.thinking_tokens
    outside = ", not in `completion_tokens`" if provider.thinking_outside else ""
    return _code(provider.thinking_tokens) + outside


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
