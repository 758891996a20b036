"""Tiny models of real families: each of its own configuration, with random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

VOCABULARY = 640
WINDOW = 32
"""Tokens of a sliding window, where a family has one: far fewer than a prompt has."""

USUAL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.15,
}
SMALL = {key: USUAL[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
HEAD = {"head_dim": 16}
GEMMA = HEAD | {"sliding_window": WINDOW, "query_pre_attn_scalar": 16}
EXPERTS = {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2}
LINEAR_ATTENTION = {
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}

CONFIGS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", USUAL),
    "qwen2": ("Qwen2Config", USUAL | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", USUAL | HEAD | {"tie_word_embeddings": True}),
    "qwen3_moe": ("Qwen3MoeConfig", USUAL | HEAD | EXPERTS),
    "qwen3_next": (
        "Qwen3NextConfig",
        USUAL | HEAD | EXPERTS | LINEAR_ATTENTION | {"shared_expert_intermediate_size": 32},
    ),
    "qwen3_5": ("Qwen3_5TextConfig", USUAL | HEAD | LINEAR_ATTENTION),
    "gemma2": ("Gemma2Config", USUAL | GEMMA),
    "gemma3": ("Gemma3TextConfig", USUAL | GEMMA),
    "gemma3_vision": (
        "Gemma3Config",
        {
            "text_config": USUAL | GEMMA,
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
            "image_token_index": VOCABULARY - 1,
            "boi_token_index": VOCABULARY - 2,
            "eoi_token_index": VOCABULARY - 3,
        },
    ),
    "mistral": ("MistralConfig", USUAL | {"sliding_window": WINDOW}),
    "mixtral": ("MixtralConfig", USUAL | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "phi3": ("Phi3Config", USUAL | {"sliding_window": WINDOW}),
    "gpt2": (
        "GPT2Config",
        SMALL | {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 1024},
    ),
    "gpt_neox": ("GPTNeoXConfig", {k: v for k, v in USUAL.items() if k != "num_key_value_heads"}),
    "opt": (
        "OPTConfig",
        SMALL
        | {
            "hidden_size": 64,
            "ffn_dim": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 1024,
            "word_embed_proj_dim": 64,
            "init_std": 0.15,
        },
    ),
    "bloom": (
        "BloomConfig",
        SMALL | {"hidden_size": 64, "n_layer": 3, "n_head": 4, "initializer_range": 0.15},
    ),
    "falcon": (
        "FalconConfig",
        SMALL | {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4},
    ),
    "granite": (
        "GraniteConfig",
        USUAL
        | {
            "logits_scaling": 8.0,
            "attention_multiplier": 0.25,
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
        },
    ),
    "granite_hybrid": (
        "GraniteMoeHybridConfig",
        USUAL
        | {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 48,
            "mamba_n_heads": 4,
            "mamba_d_state": 16,
            "mamba_d_head": 32,
            "mamba_n_groups": 1,
            "layer_types": ["mamba", "attention", "mamba", "attention"],
        },
    ),
    "olmo2": ("Olmo2Config", USUAL),
    "olmo3": ("Olmo3Config", USUAL | {"sliding_window": WINDOW}),
    "smollm3": ("SmolLM3Config", USUAL),
    "cohere2": ("Cohere2Config", USUAL | {"sliding_window": WINDOW, "logit_scale": 0.0625}),
    "deepseek_v3": (
        "DeepseekV3Config",
        USUAL
        | {
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            "n_group": 2,
            "topk_group": 1,
            "q_lora_rank": 32,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 16,
            "v_head_dim": 16,
            "first_k_dense_replace": 1,
        },
    ),
    "gpt_oss": (
        "GptOssConfig",
        USUAL | HEAD | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW},
    ),
    "lfm2": (
        "Lfm2Config",
        USUAL
        | {
            "block_ff_dim": 96,
            "full_attn_idxs": [1, 3],
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
            "block_auto_adjust_ff_dim": False,
        },
    ),
    "mamba": ("MambaConfig", SMALL | {"hidden_size": 64, "state_size": 8, "num_hidden_layers": 3}),
    "mamba2": (
        "Mamba2Config",
        SMALL
        | {
            "hidden_size": 64,
            "state_size": 16,
            "num_hidden_layers": 3,
            "num_heads": 8,
            "head_dim": 16,
            "n_groups": 1,
            "chunk_size": 16,
        },
    ),
    "falcon_h1": (
        "FalconH1Config",
        USUAL
        | {
            "mamba_d_ssm": 64,
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
        },
    ),
    "jamba": (
        "JambaConfig",
        USUAL
        | {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
    ),
    "llama4": (
        "Llama4TextConfig",
        USUAL
        | HEAD
        | {
            "intermediate_size_mlp": 96,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "attention_chunk_size": WINDOW,
        },
    ),
    "glm4": ("Glm4Config", USUAL | HEAD),
    "glm4_moe": (
        "Glm4MoeConfig",
        USUAL
        | HEAD
        | {
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "first_k_dense_replace": 1,
        },
    ),
    "ernie4_5": ("Ernie4_5Config", USUAL | HEAD),
    "exaone4": (
        "Exaone4Config",
        USUAL | {"sliding_window": WINDOW, "sliding_window_pattern": 2},
    ),
    "stablelm": ("StableLmConfig", USUAL),
    "rwkv": (
        "RwkvConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "attention_hidden_size": 64,
            "intermediate_size": 96,
            "context_length": 2048,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "bart": (
        "BartConfig",
        SMALL
        | {
            "d_model": 64,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "max_position_embeddings": 1024,
        },
    ),
    "t5": (
        "T5Config",
        {"vocab_size": VOCABULARY, "d_model": 64, "d_ff": 96, "num_layers": 2, "num_heads": 4}
        | {"d_kv": 16},
    ),
}
"""Class of the configuration, and its fields."""
CLASSES = {
    "gemma3_vision": "Gemma3ForConditionalGeneration",
    "bart": "BartForConditionalGeneration",
    "t5": "T5ForConditionalGeneration",
}
"""Class of the model, where it is not that which continues a text."""


def make_family(name: str, place: Path, tokenizer: Any, **changes: Any) -> Path:
    """Write a tiny model of a family, with random weights, as an ordinary directory."""
    import torch
    import transformers

    torch.manual_seed(0)
    config_class, fields = CONFIGS[name]
    config = getattr(transformers, config_class)(**(fields | changes))
    if name in CLASSES:
        model = getattr(transformers, CLASSES[name])(config)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
