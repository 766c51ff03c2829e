"""Where the demo's models are served: the endpoint that the environment names, or the small local one."""

import asyncio
import importlib.util
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moa_server.embedded import SettingsError, llama, weights
from moa_server.embedded.child import Child, running

ENDPOINT_VARIABLE = "OPENAI_BASE_URL"
ENDPOINT_KEY_VARIABLE = "OPENAI_API_KEY"
MODELS_VARIABLE = "MODELS"
ENDPOINT_WINDOW = 8192
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


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """One OpenAI-compatible endpoint and the models the demo uses of it."""

    url: str
    models: tuple[str, ...]
    """Their names upstream; the last one aggregates."""
    window: int
    """Tokens one call can hold."""
    key_variable: str = ""
    """The environment variable that holds the key; empty when none is asked for."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the server's environment must hold besides ours."""
    child: Child | None = None
    """The process that serves it, when it is ours."""


@asynccontextmanager
async def model_endpoint() -> AsyncIterator[ModelEndpoint]:
    """The endpoint named by the environment, else the local model for as long as the block lasts."""
    if named := named_endpoint(os.environ):
        yield named
        return
    async with local_model() as local:
        environment = {llama.KEY_VARIABLE: local.key}
        yield ModelEndpoint(local.url, (local.name,), local.window, llama.KEY_VARIABLE, environment, local.child)


def named_endpoint(environment: Mapping[str, str]) -> ModelEndpoint | None:
    """The endpoint that the environment names, None when it names none."""
    url = environment.get(ENDPOINT_VARIABLE, "").strip().rstrip("/")
    models = tuple(name for part in environment.get(MODELS_VARIABLE, "").split(",") if (name := part.strip()))
    if not url and not models:
        return None
    if not url:
        raise SettingsError(
            f"{MODELS_VARIABLE} is set but {ENDPOINT_VARIABLE} is not: name the endpoint, ending in /v1"
        )
    if not models:
        raise SettingsError(f"{ENDPOINT_VARIABLE} is set but {MODELS_VARIABLE} is not: name its models, as in a,b,c")
    key = ENDPOINT_KEY_VARIABLE if environment.get(ENDPOINT_KEY_VARIABLE) else ""
    return ModelEndpoint(url, models, ENDPOINT_WINDOW, key)


@asynccontextmanager
async def local_model(
    *, slots: int = SLOTS, context: int = CONTEXT, ready_within: float = 60, observed: bool = False
) -> AsyncIterator[LocalModel]:
    """The small model on a free loopback port, ended with the block; `observed`, it tells what it is doing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise llama.RuntimeMissingError(llama.missing_runtime())
    path = await asyncio.to_thread(weights.locate)
    key = secrets.token_urlsafe(32)
    command = (sys.executable, "-m", llama.__name__, "--slots", str(slots), "--context", str(context))
    origin = ("--weights", str(path), "--parent", str(os.getpid()), *(["--observed"] if observed else []))
    environment = {llama.KEY_VARIABLE: key}
    async with running("local model", *command, *origin, environment=environment, ready_within=ready_within) as child:
        yield LocalModel(f"{child.ready}/v1", key, llama.MODEL_NAME, context // slots, child)
