"""A study as values, and as an HTML page, Markdown and JSON."""
