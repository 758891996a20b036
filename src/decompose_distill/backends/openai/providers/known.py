"""The providers that are known, as read in their clients and documentation in November 2026."""

from decompose_distill.backends.openai.providers.provider import Provider
from decompose_distill.errors import ConfigError, nearest

PLAIN = Provider(
    name="plain",
    title="Any other server",
    thinking=("reasoning_content", "reasoning", "<think>"),
)

OPENAI = Provider(
    name="openai",
    title="OpenAI",
    hosts=("api.openai.com", ".api.openai.com"),
    base_url="https://api.openai.com/v1",
    needs_key=True,
    limit="max_completion_tokens",
    refuses=("temperature", "top_p"),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    finish_reasons=("stop", "length", "content_filter"),
    notes=(
        "Models that think do not show it. Always send an effort: which one is the default "
        "differs by model.",
    ),
)

AZURE = Provider(
    name="azure",
    title="Azure OpenAI",
    hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
    key_header="api-key",
    needs_key=True,
    limit="max_completion_tokens",
    refuses=("temperature", "top_p"),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    finish_reasons=("stop", "length", "content_filter"),
    notes=(
        "The address is that of a deployment with its version, as in "
        "`https://NAME.openai.azure.com/openai/deployments/MODEL?api-version=2024-10-21`, or ends "
        "in `/openai/v1`.",
    ),
)

ANTHROPIC = Provider(
    name="anthropic",
    title="Anthropic",
    hosts=("api.anthropic.com",),
    base_url="https://api.anthropic.com/v1",
    needs_key=True,
    seed=None,
    effort="thinking.budget_tokens",
    effort_none={"thinking": {"type": "disabled"}},
    refuses=("temperature", "top_p"),
    finish_reasons=("stop", "length", "end_turn", "max_tokens", "stop_sequence"),
    error={"type": "error", "error": {"type": "…", "message": "…"}},
    notes=(
        "The effort is sent as a budget of thinking tokens, a share of `max_new_tokens`. The "
        "thoughts are not returned by this interface; caching is not reported either.",
    ),
)

GEMINI = Provider(
    name="gemini",
    title="Google Gemini",
    hosts=("generativelanguage.googleapis.com",),
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
    needs_key=True,
    thinking=("<thought>",),
    thinking_outside=True,
    thinking_tokens="in `total_tokens` alone",
    cached_tokens="prompt_tokens_details.cached_tokens",
    finish_reasons=("stop", "length", "content_filter"),
    error=(
        {
            "error": {
                "code": 429,
                "message": "…",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo"}],
            }
        },
    ),
    notes=("Thinking counts towards `max_new_tokens`. Pro models cannot be told not to think.",),
)

MISTRAL = Provider(
    name="mistral",
    title="Mistral",
    hosts=("api.mistral.ai", "codestral.mistral.ai"),
    base_url="https://api.mistral.ai/v1",
    needs_key=True,
    seed="random_seed",
    thinking=("content parts of type `thinking`",),
    finish_reasons=("stop", "length", "model_length", "error"),
    error={"object": "error", "message": "…", "type": "…", "code": "…"},
    notes=("Unknown fields are refused with 422. Efforts that have an effect: `none`, `high`.",),
)

DEEPSEEK = Provider(
    name="deepseek",
    title="DeepSeek",
    hosts=("api.deepseek.com",),
    base_url="https://api.deepseek.com/v1",
    needs_key=True,
    effort_none={"thinking": {"type": "disabled"}},
    thinking=("reasoning_content",),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_cache_hit_tokens",
    finish_reasons=("stop", "length", "content_filter", "insufficient_system_resource"),
    notes=("While it thinks, temperature is taken and has no effect. 402: no balance is left.",),
)

XAI = Provider(
    name="xai",
    title="xAI",
    hosts=("api.x.ai", ".api.x.ai"),
    base_url="https://api.x.ai/v1",
    needs_key=True,
    thinking=("reasoning_content",),
    thinking_outside=True,
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    cost="cost_in_usd_ticks",
    notes=("Some models take no effort; their thoughts are hidden.",),
)

GROQ = Provider(
    name="groq",
    title="Groq",
    hosts=("api.groq.com",),
    base_url="https://api.groq.com/openai/v1",
    needs_key=True,
    limit="max_completion_tokens",
    thinking=("reasoning", "<think>"),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    notes=(
        'To get the thoughts apart from the text, send `extra_body={"reasoning_format": "parsed"}`.'
        " Efforts differ by model: gpt-oss `low` to `high`, Qwen `none` or `default`.",
    ),
)

TOGETHER = Provider(
    name="together",
    title="Together",
    hosts=("api.together.xyz", "api.together.ai"),
    base_url="https://api.together.xyz/v1",
    needs_key=True,
    effort_none={"reasoning": {"enabled": False}},
    thinking=("reasoning", "reasoning_content"),
    finish_reasons=("stop", "eos", "length"),
)

OPENROUTER = Provider(
    name="openrouter",
    title="OpenRouter",
    hosts=("openrouter.ai",),
    base_url="https://openrouter.ai/api/v1",
    needs_key=True,
    effort="reasoning.effort",
    effort_none={"reasoning": {"enabled": False}},
    thinking=("reasoning", "reasoning_details"),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    cost="cost",
    finish_reasons=("stop", "length", "content_filter", "error"),
    error={"error": {"code": 429, "message": "…", "metadata": {"raw": "…"}}},
    notes=(
        "What a model lacks is dropped on the way. Errors may come with status 200. With a key of "
        "your own for the provider behind it, what that one bills is added.",
    ),
)

VLLM = Provider(
    name="vllm",
    title="vLLM",
    base_url="http://localhost:8000/v1",
    effort_none={"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
    thinking=("reasoning", "reasoning_content", "<think>"),
    cached_tokens="prompt_tokens_details.cached_tokens",
    finish_reasons=("stop", "length", "abort"),
    error={"error": {"message": "…", "type": "…", "param": None, "code": 400}},
    notes=(
        "Start it with `--reasoning-parser` to get the thoughts apart from the text, and with "
        "`--enable-prompt-tokens-details` to see what was cached.",
    ),
)

SGLANG = Provider(
    name="sglang",
    title="SGLang",
    base_url="http://localhost:30000/v1",
    effort_none={"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
    thinking=("reasoning_content", "<think>"),
    thinking_tokens="reasoning_tokens",
    cached_tokens="prompt_tokens_details.cached_tokens",
    finish_reasons=("stop", "length", "content_filter", "abort"),
    error={"object": "error", "message": "…", "type": "…", "param": None, "code": 400},
    notes=("Start it with `--reasoning-parser`, and `--enable-cache-report`.",),
)

OLLAMA = Provider(
    name="ollama",
    title="Ollama",
    base_url="http://localhost:11434/v1",
    effort="reasoning.effort",
    thinking=("reasoning", "<think>"),
    finish_reasons=("stop", "length", "load"),
    notes=("404: the model was not pulled.",),
)

LLAMA_CPP = Provider(
    name="llama.cpp",
    title="llama.cpp",
    base_url="http://localhost:8080/v1",
    thinking=("reasoning_content", "<think>"),
    cached_tokens="prompt_tokens_details.cached_tokens",
    error={"error": {"code": 503, "message": "…", "type": "…"}},
    notes=("While it loads the model it answers 503, which is waited for.",),
)

LM_STUDIO = Provider(
    name="lmstudio",
    title="LM Studio",
    base_url="http://localhost:1234/v1",
    thinking=("reasoning_content", "<think>"),
    thinking_tokens="completion_tokens_details.reasoning_tokens",
    error={"error": "…"},
    notes=("A setting for developers gives the thoughts apart from the text.",),
)

TGI = Provider(
    name="tgi",
    title="Text Generation Inference",
    base_url="http://localhost:8080/v1",
    refuses=("temperature",),
    thinking=("<think>",),
    finish_reasons=("stop", "eos_token", "stop_sequence", "length"),
    error={"error": "…", "error_type": "overloaded"},
    notes=("It refuses a temperature of 0.",),
)

PROVIDERS = (
    OPENAI, AZURE, ANTHROPIC, GEMINI, MISTRAL, DEEPSEEK, XAI, GROQ, TOGETHER, OPENROUTER,
    VLLM, SGLANG, OLLAMA, LLAMA_CPP, LM_STUDIO, TGI, PLAIN,
)  # fmt: skip


def provider_at(host: str) -> Provider:
    """The provider behind a host; `PLAIN` if none is known.

    Example:
        >>> provider_at("api.mistral.ai").seed
        'random_seed'
        >>> provider_at("localhost").name
        'plain'
    """
    for provider in PROVIDERS:
        for known in provider.hosts:
            if host == known or (known.startswith(".") and host.endswith(known)):
                return provider
    return PLAIN


def provider_named(name: str) -> Provider:
    """The provider of a name.

    Raises:
        ConfigError: There is none; the message lists those there are.

    Example:
        >>> provider_named("vllm").title
        'vLLM'
    """
    for provider in PROVIDERS:
        if name == provider.name:
            return provider
    known = [provider.name for provider in PROVIDERS]
    raise ConfigError(f"unknown provider {name!r}; {nearest(name, known)}")
