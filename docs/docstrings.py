"""Shows the `Example:` part of a docstring as code on the reference pages."""

import griffe


class Examples(griffe.Extension):
    """Griffe knows the heading `Examples:` only; ours have one example each."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rename the heading before the docstring is parsed."""
        if obj.docstring and ">>>" in obj.docstring.value:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
