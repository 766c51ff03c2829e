"""An endpoint whose model refuses fields of a request, as today's models do."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.upstream.scripts import Speech, Status
from tests.upstream.stage import Stage

Complain = Callable[[str], Status]
"""Makes the answer that refuses a field of this name."""


def by_param(name: str) -> Status:
    """Name it beside the message, as OpenAI does."""
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return complaint(message, param=name, code="unsupported_parameter")


def by_message(name: str) -> Status:
    """Name it in the message alone, as Anthropic does."""
    return complaint(f"`{name}` is deprecated for this model.")


def complaint(message: str, *, status: int = 400, **more: object) -> Status:
    """Return an answer with an error object, which both dialects know in this form."""
    told = {"type": "error", "error": {"type": "invalid_request_error", "message": message, **more}}
    return Status(status, body=json.dumps(told).encode())


@dataclass(frozen=True, eq=False)
class Picky:
    """Refuses the first of these fields that a request has, else says its speech."""

    refuses: Collection[str]
    speech: Speech = field(default_factory=lambda: Speech("here"))
    complain: Complain = by_param

    async def play(self, stage: Stage) -> None:
        body = stage.request.body
        refused = next((name for name in self.refuses if name in body), None)
        await (self.speech if refused is None else self.complain(refused)).play(stage)
