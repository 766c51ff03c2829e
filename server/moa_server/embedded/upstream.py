"""Where the demo's models are served: the endpoint that the environment names, or the small local one."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moa_server.embedded.child import Child
from moa_server.embedded.errors import SettingsError
from moa_server.embedded.llama import KEY_VARIABLE
from moa_server.embedded.process import local_model

ENDPOINT_VARIABLE = "OPENAI_BASE_URL"
ENDPOINT_KEY_VARIABLE = "OPENAI_API_KEY"
MODELS_VARIABLE = "MODELS"
ENDPOINT_WINDOW = 8192


@dataclass(frozen=True, slots=True)
class Upstream:
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
async def upstream() -> AsyncIterator[Upstream]:
    """The endpoint named by the environment, else the local model for as long as the block lasts."""
    if named := endpoint(os.environ):
        yield named
        return
    async with local_model() as local:
        environment = {KEY_VARIABLE: local.key}
        yield Upstream(local.url, (local.name,), local.window, KEY_VARIABLE, environment, local.child)


def endpoint(environment: Mapping[str, str]) -> Upstream | None:
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
    return Upstream(url, models, ENDPOINT_WINDOW, key)
