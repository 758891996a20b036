"""The families that are tried: a configuration, a tokenizer and a chat template each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.families.sources import template_text, tokenizer_files
from tests.support.chats import CHATML, MARKS, make_tokenizer
from tests.support.families import make_family

MARK = re.compile(r"<[|｜][^<>{}'\"]+[|｜]>|</?[a-z_]+>|\[/?[A-Z_]+\]")
"""What looks like a control token in a chat template."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table."""

    name: str
    config: str
    """Key of `tests.support.families.CONFIGS`."""
    tokenizer: str | None = None
    """The real one, by the end of its package's name; else one of 260 tokens."""
    template: str | None = None
    """A real one, by its name in TRL; else that of the real tokenizer, else ChatML."""
    marks: tuple[str, ...] = ()
    """Control tokens that cannot be read off the template, as it puts them together."""
    vocabulary: int | None = None
    """Of the model, where it is smaller than the tokenizer's."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration."""

    @property
    def source(self) -> str:
        """Where tokenizer and template are from, in words."""
        tokenizer = "real" if self.tokenizer else "small"
        template = "real" if self.template or self.tokenizer not in (None, "llama2") else "plain"
        return f"{tokenizer} / {template}"

    def make(self, place: Path) -> Path:
        """Write a tiny model of the family with its tokenizer, as an ordinary directory."""
        tokenizer = self._tokenizer()
        size = self.vocabulary or max(640, len(tokenizer))
        changes: dict[str, Any] = dict(self.changes) | {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        if self.config.endswith("_vision"):
            from tests.support.families import GEMMA, USUAL

            changes["text_config"] = USUAL | GEMMA | {"vocab_size": size}
        else:
            changes["vocab_size"] = size
        return make_family(self.config, place, tokenizer, **changes)

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        template = template_text(self.template) if self.template else None
        if self.tokenizer is None:
            written = template or CHATML
            marks = dict.fromkeys((*MARK.findall(written), *self.marks, *MARKS))
            return make_tokenizer(written, special=list(marks))
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_files(self.tokenizer))
        tokenizer.chat_template = template or tokenizer.chat_template
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return tokenizer


PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
FAMILIES = (
    Family("Llama 2", "llama", "llama2"),
    Family("Llama 3", "llama", "llama3"),
    Family("Llama 3.1", "llama", "llama3_1"),
    Family("Llama 3.2", "llama", "llama3_1", "llama3_2"),
    Family("Llama 4", "llama4", template="llama3_1"),
    Family("Qwen2.5", "qwen2", "qwen3", "qwen2_5"),
    Family("Qwen3", "qwen3", "qwen3"),
    Family("Qwen3 MoE 2507", "qwen3_moe", "qwen3", "qwen3_instruct_2507"),
    Family("Qwen3-Next", "qwen3_next", template="qwen3_instruct_2507"),
    Family("Qwen3.5, thinking", "qwen3_5", template="qwen3_5_think"),
    Family("DeepSeek-R1 distilled", "qwen2", "deepseek_v3", "deepseek_r1_distill"),
    Family("DeepSeek-V3", "deepseek_v3", "deepseek_v3"),
    Family("Gemma 2", "gemma2", template="gemma"),
    Family("Gemma 3", "gemma3", "gemma3", vocabulary=262144),
    Family("Gemma 3 with images", "gemma3_vision", template="gemma3"),
    Family("gpt-oss", "gpt_oss", "gptoss", "gptoss"),
    Family("SmolVLM's template", "llama", template="smolvlm"),
    Family("Idefics3's template", "llama", template="idefics3"),
    Family("Phi-3", "phi3", template="phi3", marks=PHI),
    # Its template has a preamble of 2,000 characters.
    Family("Cohere2", "cohere2", None, "cohere2", changes={"max_position_embeddings": 8192}),
    Family("LFM2", "lfm2", template="lfm2"),
    Family("GLM-4.5", "glm4_moe", template="glm4moe"),
    Family("Nemotron's template", "llama", template="nemotron_3_nano"),
    Family("Mistral", "mistral"),
    Family("Mixtral", "mixtral"),
    Family("OLMo 2", "olmo2"),
    Family("OLMo 3", "olmo3"),
    Family("SmolLM3", "smollm3"),
    Family("Granite", "granite"),
    Family("Granite hybrid", "granite_hybrid"),
    Family("GLM-4", "glm4"),
    Family("ERNIE 4.5", "ernie4_5"),
    Family("EXAONE 4", "exaone4"),
    Family("StableLM", "stablelm"),
    Family("GPT-2", "gpt2"),
    Family("GPT-NeoX", "gpt_neox"),
    Family("OPT", "opt"),
    Family("BLOOM", "bloom"),
    Family("Falcon", "falcon"),
    Family("Mamba", "mamba"),
    Family("Mamba 2", "mamba2"),
    Family("Falcon-H1", "falcon_h1"),
    Family("Jamba", "jamba"),
    Family("RWKV", "rwkv"),
    Family("BART", "bart"),
    Family("T5", "t5"),
)
BY_NAME = {family.name: family for family in FAMILIES}
