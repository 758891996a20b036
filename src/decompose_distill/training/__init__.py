"""From kept traces to a student checkpoint; `recipe.py` is the whole path, top to bottom."""
