"""A student for a server: its prompt as a template, and where the server wants it its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

from decompose_distill.errors import CheckpointError, ConfigError
from decompose_distill.models.adapters import (
    adapter_base,
    adapter_quantization,
    adapter_room,
    is_adapter,
)
from decompose_distill.models.frozen_template import freeze_template
from decompose_distill.storage.atomic import telling_full_disk
from decompose_distill.training.checkpoints.fetching import find_checkpoint
from decompose_distill.training.checkpoints.manifest import Manifest, read_manifest_of
from decompose_distill.training.serving.gguf_file import write_gguf
from decompose_distill.training.serving.served_prompt import ending, go_template, jinja_template

Server = Literal["gguf", "ollama", "vllm"]
TEMPLATE, WEIGHTS, MODELFILE = "chat_template.jinja", "student.gguf", "Modelfile"
LONGEST_WINDOW = 32_768
"""Tokens of context that Ollama is told to keep room for, at most."""


def export_student(checkpoint: str | Path, output_dir: str | Path, *, to: Server) -> Path:
    """Write what a server needs to ask a student as it was trained.

    A bare question that is sent to the server is rendered to the tokens of training: the system
    turn and the prompt's words stand in the template. A client that renders the prompt itself, as
    `Decomposer.from_pretrained(checkpoint, backend=...)` does, sends the same.

    Args:
        checkpoint: Directory that `distill` wrote, or a hub id.
        output_dir: A new or empty directory.
        to: `vllm` writes `chat_template.jinja`; `gguf` writes `student.gguf` for llama.cpp, with
            the template in it; `ollama` writes a `Modelfile` and, where it can, `student.gguf`.

    Returns:
        The file to give to the server.

    Raises:
        CheckpointError: It is not a complete checkpoint, it is an adapter that the server cannot
            run, or its model was never a `.gguf` file, for which the message has the commands of
            llama.cpp.
        ConfigError: `to` is unknown, or `output_dir` has other content.
        MissingExtraError: A `.gguf` file without the package gguf.

    Example:
        ```python
        from decompose_distill.training.serving import export_student

        export_student("runs/student", "runs/served", to="vllm")
        ```
    """
    if to not in _WRITERS:
        raise ConfigError(f"to must be one of {', '.join(_WRITERS)}, not {to!r}")
    folder, output_dir = find_checkpoint(checkpoint), Path(output_dir)
    manifest = read_manifest_of(folder)
    _check_adapter(folder, to)
    if output_dir.exists() and not (output_dir.is_dir() and not any(output_dir.iterdir())):
        raise ConfigError(
            f"output_dir {output_dir} exists with other content: name a new directory"
        )
    partial = output_dir.with_name(f"{output_dir.name}.partial")
    rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with telling_full_disk(output_dir):
            name = _WRITERS[to](folder, manifest, partial)
            if output_dir.exists():
                output_dir.rmdir()
            partial.replace(output_dir)
    finally:
        rmtree(partial, ignore_errors=True)
    return output_dir / name


def serving_command(checkpoint: str | Path, file: Path, *, to: Server) -> str:
    """The command that serves a student with the file that `export_student` wrote."""
    if to == "gguf":
        return f"llama-server --model {file} --jinja --alias student"
    if to == "ollama":
        return f"ollama create student --file {file}"
    folder = find_checkpoint(checkpoint)
    if not is_adapter(folder):
        return f"vllm serve {checkpoint} --served-model-name student --chat-template {file}"
    # Where texts end, and how chats are rendered, vLLM would take from the base.
    return (
        f"vllm serve {adapter_base(folder)} --enable-lora --max-lora-rank {adapter_room(folder)} "
        f"--lora-modules student={checkpoint} --generation-config {checkpoint} "
        f"--chat-template {file}"
    )


def _check_adapter(folder: Path, to: Server) -> None:
    if not is_adapter(folder):
        return
    if to != "vllm":
        raise CheckpointError(
            f"{folder} is an adapter, of which no {to} files can be written: train it with "
            "merge_lora=True, or export it --to vllm"
        )
    if is_adapter(adapter_base(folder)) or adapter_quantization(folder):
        raise CheckpointError(
            f"{folder} is an adapter on another one or on a base in 4 bits, which vLLM would not "
            "run as it was trained: train it with merge_lora=True"
        )


def _tokenizer(folder: Path) -> Any:
    from decompose_distill.models.loading import load_tokenizer

    tokenizer = load_tokenizer(folder)
    freeze_template(tokenizer)  # of a student of an earlier version; else nothing happens
    return tokenizer


def _write_vllm(folder: Path, manifest: Manifest, directory: Path) -> str:
    template = jinja_template(_tokenizer(folder), manifest.prompt)
    (directory / TEMPLATE).write_text(template, encoding="utf-8")
    return TEMPLATE


def _write_gguf(folder: Path, manifest: Manifest, directory: Path) -> str:
    base = _gguf_base(manifest)
    if base is None or not any(folder.glob("model*.safetensors")):
        raise CheckpointError(_how_to_convert(folder))
    write_gguf(folder, base, directory / WEIGHTS, _tokenizer(folder), manifest.prompt)
    return WEIGHTS


def _gguf_base(manifest: Manifest) -> Path | None:
    """The `.gguf` file a student was trained from, if it is still there."""
    base = Path(manifest.base_model)
    return base if base.suffix == ".gguf" and base.is_file() else None


def _how_to_convert(folder: Path) -> str:
    return (
        f"{folder} did not start from a .gguf file that is here, so llama.cpp must convert it: "
        "git clone https://github.com/ggml-org/llama.cpp, pip install -r "
        "llama.cpp/requirements/requirements-convert_hf_to_gguf.txt, python "
        f"llama.cpp/convert_hf_to_gguf.py {folder} --outfile student.gguf; export-student --to "
        "vllm writes the template to start llama-server with, as --chat-template-file"
    )


def _write_ollama(folder: Path, manifest: Manifest, directory: Path) -> str:
    tokenizer = _tokenizer(folder)
    weights = f"./{WEIGHTS}" if _gguf_base(manifest) else str(folder.resolve())
    if _gguf_base(manifest):
        _write_gguf(folder, manifest, directory)
    template, system = go_template(tokenizer, manifest.prompt), manifest.prompt.system
    lines = [f"FROM {weights}", f"TEMPLATE {_tripled(template)}"]
    lines += [f"SYSTEM {_tripled(system)}"] if system else []
    lines += [f"PARAMETER {name} {value}" for name, value in _parameters(folder, manifest)]
    lines += [f"PARAMETER stop {ending(tokenizer)}"]
    (directory / MODELFILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return MODELFILE


def _parameters(folder: Path, manifest: Manifest) -> list[tuple[str, object]]:
    from decompose_distill.models.loading import context_window, load_config

    window = min(context_window(load_config(folder)), LONGEST_WINDOW)
    return [
        ("temperature", manifest.sampling.temperature),
        ("repeat_penalty", 1.0),  # it has one of its own, at temperature 0 too
        ("num_predict", manifest.sampling.max_new_tokens),
        ("num_ctx", window),
    ]


def _tripled(text: str) -> str:
    if '"""' in text:
        raise ConfigError("a prompt with three quotation marks cannot stand in a Modelfile")
    return f'"""{text}"""'


_WRITERS: Mapping[str, Callable[[Path, Manifest, Path], str]] = {
    "gguf": _write_gguf,
    "ollama": _write_ollama,
    "vllm": _write_vllm,
}
