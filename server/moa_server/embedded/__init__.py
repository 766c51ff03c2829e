"""Serves a real, small model on this machine and runs the demo on top of it."""

__all__ = ["ELSEWHERE", "EmbeddedError", "SettingsError"]

ELSEWHERE = (
    "or point the demo at any OpenAI-compatible endpoint instead, for example "
    "OPENAI_BASE_URL=http://127.0.0.1:11434/v1 MODELS=llama3.2,qwen2.5 (see --help)"
)


class EmbeddedError(Exception):
    """Anything the demo can explain in a sentence; most kinds stand in the file that raises them."""


class SettingsError(EmbeddedError):
    """The environment lacks something, or names half an endpoint."""
