"""Models for the engine's tests: they say what a script says, when it says so, and remember what they were asked."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import MoaError
from moa_server.domain.model import FinishReason, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.usage import Price, Usage

Script = Callable[["Asked"], Awaitable[None]]


@dataclass(slots=True)
class Asked:
    """One call of a fake model."""

    prompt: Prompt
    terms: CallTerms
    said: list[str] = field(default_factory=list)
    finish: FinishReason = FinishReason.STOP
    cancelled: bool = False

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.said.append(piece)
            self.terms.hear(piece)


def spec(name: str = "m", *, window: int = 8192, price: Price | None = None, max_output: int = 100) -> ModelSpec:
    return ModelSpec(name, "fake", "nowhere", f"upstream-{name}", window=window, price=price, max_output=max_output)


class FakeModel:
    """A model that follows its scripts, the last of them for ever."""

    def __init__(self, model_spec: ModelSpec, *scripts: Script) -> None:
        self.spec = model_spec
        self.asked: list[Asked] = []
        self.called = asyncio.Event()
        self.finished = asyncio.Event()
        self._scripts = [*scripts] or [saying(f"from {model_spec.name}")]

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        entry = terms.account.open(self.spec, terms.kind, prompt)
        asked = Asked(prompt, terms)
        self.asked.append(asked)
        self.called.set()
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        usage = Usage(input_tokens=10, output_tokens=5)
        try:
            await script(asked)
        except asyncio.CancelledError:
            asked.cancelled = True
            entry.close(usage)
            raise
        except MoaError:
            entry.close(Usage(input_tokens=10))
            raise
        finally:
            self.finished.set()
        entry.close(usage)
        return Reply("".join(asked.said), asked.finish, usage, self.spec.upstream_model)


def saying(*pieces: str) -> Script:
    async def script(asked: Asked) -> None:
        asked.say(*pieces)

    return script


def failing(error: MoaError, *after: str) -> Script:
    async def script(asked: Asked) -> None:
        asked.say(*after)
        raise error

    return script


def silent() -> Script:
    async def script(_asked: Asked) -> None:
        await asyncio.Event().wait()

    return script


def once(gate: asyncio.Event, *pieces: str) -> Script:
    async def script(asked: Asked) -> None:
        await gate.wait()
        asked.say(*pieces)

    return script


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def texts(prompt: Prompt) -> Iterator[str]:
    return (message.text for message in prompt.messages)


def sizes(model: FakeModel) -> list[int]:
    """How many characters each prompt had."""
    return [sum(map(len, texts(asked.prompt))) for asked in model.asked]
