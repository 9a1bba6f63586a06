"""The demo: reads real text in pictures with models before and after quantization."""
