"""Local Hugging Face models.

- `loading`: models and tokenizers from a hub, a directory or a GGUF file
- `adapters`: LoRA adapters on disk
- `devices`: which device and number type they are held in
- `chat_template`: chats as token ids, and where a turn ends
- `generation`, `past`, `sampling`: continuing a batch of prompts
- `kernels`: parts of a model in few passes over memory
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.models.generation import decode as decode
    from decompose_distill.models.generation import fastest_decode as fastest_decode
    from decompose_distill.models.loading import load_model as load_model
    from decompose_distill.models.loading import load_tokenizer as load_tokenizer
    from decompose_distill.models.loading import save_model as save_model

__getattr__, __dir__ = lazy(
    __name__,
    {
        "generation": ("decode", "fastest_decode"),
        "loading": ("load_model", "load_tokenizer", "save_model"),
    },
)
