"""A student as a `.gguf` file: the layout and tokenizer of the one it started from, its weights.

What llama.cpp needs to know of a model beside its weights cannot be read off a Hugging Face folder
without llama.cpp's own tables, and stands whole in the file that a student was made from.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from decompose_distill.errors import ConfigError, MissingExtraError
from decompose_distill.models.chat_template import end_of_turn
from decompose_distill.prompts import Prompt
from decompose_distill.training.serving.served_prompt import adds_bos, jinja_template

ROTATED = {"llama": ("q_proj", "k_proj"), "qwen2": (), "qwen3": ()}
"""By architecture: matrices whose rows llama.cpp holds in another order."""
OWN = "general.architecture"
TEMPLATE = "tokenizer.chat_template"


def write_gguf(folder: Path, base: Path, path: Path, tokenizer: Any, prompt: Prompt) -> None:
    """Write a student's folder of safetensors as one file.

    Args:
        folder: The student.
        base: The `.gguf` file that it was trained from.
        path: File to write.
        tokenizer: The student's.
        prompt: What it was trained on; it becomes part of the chat template.

    Raises:
        ConfigError: The student's weights are not those of the base's layout.
        MissingExtraError: Without the package gguf.
    """
    if not find_spec("gguf"):
        raise MissingExtraError("writing .gguf files needs: pip install 'decompose-distill[gguf]'")
    from gguf import GGUFReader, GGUFWriter

    reader = GGUFReader(base)
    architecture = str(reader.fields[OWN].contents())
    if architecture not in ROTATED:
        raise ConfigError(f"{base}: no way to write {architecture} weights; use llama.cpp's own")
    writer = GGUFWriter(path, architecture, use_temp_file=True)
    _describe(writer, reader, _changed(tokenizer, prompt))
    for name, values, kind in _tensors(folder, reader, architecture):
        writer.add_tensor(name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _changed(tokenizer: Any, prompt: Prompt) -> dict[str, Any]:
    """What a student says otherwise than its base."""
    return {
        TEMPLATE: jinja_template(tokenizer, prompt),
        "tokenizer.ggml.eos_token_id": end_of_turn(tokenizer),
        "tokenizer.ggml.add_bos_token": adds_bos(tokenizer),
    }


def _describe(writer: Any, reader: Any, changed: Mapping[str, Any]) -> None:
    from gguf import GGUFValueType

    kinds = {str: GGUFValueType.STRING, bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in (OWN, "general.file_type", *changed):
            continue
        kind, inner = field.types[0], field.types[-1]
        part = inner if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=part)
    for name, value in changed.items():
        writer.add_key_value(name, value, kinds[type(value)])


def _tensors(folder: Path, reader: Any, architecture: str) -> Iterator[tuple[str, Any, Any]]:
    """The student's weights under llama.cpp's names, matrices in their own number type."""
    from gguf import GGMLQuantizationType, get_tensor_name_map
    from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
    from gguf.quants import quantize

    kind = next(arch for arch in MODEL_ARCH if MODEL_ARCH_NAMES[arch] == architecture)
    number = {name: _number(reader, f"{architecture}.{name}") for name in _COUNTS}
    names = get_tensor_name_map(kind, number["block_count"])
    wanted = {str(tensor.name): tensor for tensor in reader.tensors}
    for name, tensor in _weights(folder):
        own = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if own not in wanted:
            raise ConfigError(f"{folder}: {name} has no place in the file it was trained from")
        heads = "attention.head_count_kv" if "k_proj" in name else "attention.head_count"
        rotated = any(part in name for part in ROTATED[architecture])
        values = tensor.float().numpy()
        values = _rotate(values, number[heads]) if rotated else values
        if list(values.shape) != wanted[own].shape[::-1].tolist():
            raise ConfigError(f"{folder}: {name} has another shape than in the file it came from")
        short = values.ndim > 1 and str(tensor.dtype) == "torch.bfloat16"
        as_kind = GGMLQuantizationType.BF16 if short else GGMLQuantizationType.F32
        yield own, quantize(values, as_kind), as_kind
        del wanted[own]
    for name, tensor in wanted.items():
        if "rope_freqs" not in name:
            raise ConfigError(f"{folder} lacks {name} of the file it was trained from")
        yield name, tensor.data, tensor.tensor_type


_COUNTS = ("block_count", "attention.head_count", "attention.head_count_kv")


def _number(reader: Any, name: str) -> int:
    field = reader.fields.get(name)
    return int(field.contents()) if field else 0


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    with ExitStack() as stack:
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = stack.enter_context(safe_open(path, framework="pt"))
            for name in file.keys():  # noqa: SIM118, no mapping
                yield name, file.get_tensor(name)


def _rotate(values: Any, heads: int) -> Any:
    """Rows of a head from halves, as transformers rotates them, to pairs."""
    rows = values.shape[0] // heads // 2
    parted = values.reshape(heads, 2, rows, *values.shape[1:])
    return parted.swapaxes(1, 2).reshape(values.shape)
