"""Local Hugging Face models: loading, chat templates, batched generation."""
