"""Serves the small model in a child process for as long as a block lasts."""

import asyncio
import importlib.util
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moa_server.embedded import llama, weights
from moa_server.embedded.child import Child, running
from moa_server.embedded.errors import RuntimeMissingError

SLOTS = 4
CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A served model: what a caller of the OpenAI-compatible API must know."""

    url: str
    """Base address, ending in /v1."""
    key: str = field(repr=False)
    """Random, of this run only."""
    name: str
    """The model's name in requests."""
    window: int
    """Tokens one call can hold, prompt and answer together."""
    child: Child
    """The process that serves it."""


@asynccontextmanager
async def local_model(
    *, slots: int = SLOTS, context: int = CONTEXT, ready_within: float = 60
) -> AsyncIterator[LocalModel]:
    """The small model on a free loopback port, ended with the block."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise RuntimeMissingError(llama.missing_runtime())
    path = await asyncio.to_thread(weights.locate)
    key = secrets.token_urlsafe(32)
    command = (sys.executable, "-m", llama.__name__, "--slots", str(slots), "--context", str(context))
    origin = ("--weights", str(path), "--parent", str(os.getpid()))
    environment = {llama.KEY_VARIABLE: key}
    async with running("local model", *command, *origin, environment=environment, ready_within=ready_within) as child:
        yield LocalModel(f"{child.ready}/v1", key, llama.MODEL_NAME, context // slots, child)
