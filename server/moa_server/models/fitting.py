"""Fits a prompt that was made for one model to another."""

from dataclasses import replace

from moa_server.domain import tokens
from moa_server.domain.model import ModelSpec, Prompt


def fitted(prompt: Prompt, spec: ModelSpec) -> Prompt | None:
    """Return the prompt with an answer no longer than the model gives; None if the model cannot take it."""
    if not spec.images and any(message.images for message in prompt.messages):
        return None
    most = min(prompt.sampling.max_tokens or spec.max_output, spec.max_output)
    if tokens.of_messages(prompt.messages) + most > spec.window:
        return None
    return replace(prompt, sampling=replace(prompt.sampling, max_tokens=most))
