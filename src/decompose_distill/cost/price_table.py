"""List prices of providers, with the page and the month they are from; data, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """Where prices were published, when they were read, and what they were."""

    page: str
    checked: str
    """Year and month."""
    batch_discount: str
    models: Mapping[str, tuple[str, str]]
    """US dollars for a million input and a million output tokens."""


PROVIDERS = {
    "api.openai.com": Provider(
        page="https://developers.openai.com/api/docs/pricing",
        checked="2026-11",
        batch_discount="0.5",
        models={
            "gpt-3.5-turbo": ("0.50", "1.50"),
            "gpt-4-turbo": ("10", "30"),
            "gpt-4o": ("2.50", "10"),
            "gpt-4o-2024-05-13": ("5", "15"),
            "gpt-4o-mini": ("0.15", "0.60"),
            "gpt-4.1": ("2", "8"),
            "gpt-4.1-mini": ("0.40", "1.60"),
            "gpt-4.1-nano": ("0.10", "0.40"),
            "gpt-5": ("1.25", "10"),
            "gpt-5-mini": ("0.25", "2"),
            "gpt-5-nano": ("0.05", "0.40"),
            "gpt-5.1": ("1.25", "10"),
            "gpt-5.2": ("1.75", "14"),
            "gpt-5.4": ("2.50", "15"),
            "gpt-5.4-mini": ("0.75", "4.50"),
            "gpt-5.4-nano": ("0.20", "1.25"),
            "gpt-5.5": ("5", "30"),
            "gpt-5.6-luna": ("0.20", "1.20"),
            "gpt-5.6-sol": ("4", "20"),
            "gpt-5.6-terra": ("2", "12"),
            "gpt-6-astra": ("10", "50"),
            "gpt-6-luna": ("0.10", "0.50"),
            "gpt-6-sol": ("2", "10"),
            "gpt-6.1-sol": ("2", "10"),
            "gpt-6.1-terra": ("1", "5"),
            "o1": ("15", "60"),
            "o3": ("2", "8"),
            "o3-mini": ("1.10", "4.40"),
            "o4-mini": ("1.10", "4.40"),
        },
    ),
    # By the hour; these are the peak-hour prices, so that a budget holds at any.
    "api.deepseek.com": Provider(
        page="https://api-docs.deepseek.com/quick_start/pricing",
        checked="2026-11",
        batch_discount="0",
        models={
            "deepseek-flash": ("0.30", "1.20"),
            "deepseek-v4-flash": ("0.30", "1.20"),
            "deepseek-v4-pro": ("1.32", "3.96"),
        },
    ),
    "api.mistral.ai": Provider(
        page="https://mistral.ai/pricing/api",
        checked="2026-11",
        batch_discount="0.5",
        models={
            "magistral-medium-latest": ("2", "5"),
            "magistral-small-latest": ("0.50", "1.50"),
            "ministral-3b-2512": ("0.10", "0.10"),
            "ministral-8b-2512": ("0.15", "0.15"),
            "ministral-14b-2512": ("0.20", "0.20"),
            "mistral-large-2512": ("0.50", "1.50"),
            "mistral-large-4": ("0.70", "2.10"),
            "mistral-medium-3-5": ("1.50", "7.50"),
            "mistral-medium-latest": ("1.50", "7.50"),
            "mistral-small-2603": ("0.15", "0.60"),
            "mistral-small-latest": ("0.15", "0.60"),
        },
    ),
}
"""List prices by the host of an endpoint.

Read in November 2026 from the data of genai-prices 0.2.3, which follows the providers' pages
named here; models on which its sources disagree are left out. They are those of prompts of up
to 272 000 tokens, as some models cost more from there on.
"""
