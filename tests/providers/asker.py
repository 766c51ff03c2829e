"""Asks one model of a provider as the engine would, and keeps what was heard."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import ModelError
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply, TimeLimits
from moa_server.domain.ports import CallTerms, Model, OpenAttempt
from moa_server.providers import PROVIDERS

HELLO = Prompt((Message.of(Role.USER, "Hello there"),), Sampling(max_tokens=100))
SHORT = TimeLimits(connect=2.0, first_token=0.15, idle=0.15, total=5.0)


class NoAccount:
    """Providers have no business with it."""

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> OpenAttempt:
        raise AssertionError(f"the provider of {spec.name} opened an attempt")


@dataclass(frozen=True)
class Key:
    """A key that can be changed."""

    value: list[str]

    def reveal(self) -> str:
        return self.value[0]


@dataclass
class Asker:
    """Makes a model of the dialect at an endpoint, and asks it."""

    dialect: str
    endpoint: str
    http: httpx.AsyncBaseTransport
    heard: list[str] = field(default_factory=list)
    on_heard: Callable[[], None] = lambda: None

    def model(self, **changes: Any) -> Model:  # noqa: ANN401 - any field of the spec
        spec = ModelSpec("voice", self.dialect, self.endpoint, "m", times=TimeLimits(connect=2.0, total=20.0))
        spec = replace(spec, **changes)
        return PROVIDERS[spec.provider](spec, self.http)

    async def ask(
        self,
        prompt: Prompt = HELLO,
        *,
        gather_s: float = 0.0,
        within_s: float = 20.0,
        speak_within_s: float | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> Reply:
        self.heard.clear()
        now = asyncio.get_running_loop().time()
        speak_by = None if speak_within_s is None else now + speak_within_s
        terms = CallTerms(self._hear, NoAccount(), now + within_s, speak_by, gather_s=gather_s)
        return await self.model(**changes).speak(prompt, terms)

    def _hear(self, text: str) -> None:
        self.heard.append(text)
        self.on_heard()

    async def failure(self, prompt: Prompt = HELLO, **changes: Any) -> ModelError:  # noqa: ANN401
        """Ask, and return how it failed."""
        try:
            reply = await self.ask(prompt, **changes)
        except ModelError as error:
            return error
        raise AssertionError(f"it answered: {reply.text[:200]}")
