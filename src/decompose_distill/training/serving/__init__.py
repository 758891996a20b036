"""A student for other servers.

- `student_export`: `export_student`, what vLLM, llama.cpp and Ollama need to serve a student
- `served_prompt`: its prompt as a template; `gguf_file`: its weights as one file
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.training.serving.student_export import export_student as export_student

__getattr__, __dir__ = lazy(
    __name__,
    {
        "student_export": ("export_student",),
    },
)
