"""A streamed answer is read to the text, the counts and the ending to which the house's own SDK reads it."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from moa_server.domain.errors import ModelError, ModelRefused
from moa_server.domain.model import FinishReason, Reply
from moa_server.domain.usage import Usage
from moa_server.providers import Transport
from moa_server.providers.dialects import DIALECTS
from tests.providers.asker import Asker
from tests.real.programmes import Sdks
from tests.real.recordings import RECORDINGS, written
from tests.upstream import Raw, Stage, Upstream, UpstreamThread

_CASES: Final = [(dialect, name) for dialect in DIALECTS for name in RECORDINGS[dialect]]
_READERS: Final = {"openai": "read_openai", "anthropic": "read_anthropic", "responses": "read_responses"}
_ENDINGS: Final = {
    "stop": FinishReason.STOP,
    "completed": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "incomplete": FinishReason.LENGTH,
}


def _whole(body: bytes) -> list[bytes]:
    return [body]


def _by_byte(body: bytes) -> list[bytes]:
    return [body[place : place + 1] for place in range(len(body))]


def _at_random(body: bytes) -> list[bytes]:
    chance = random.Random(len(body))
    cuts = [0, *sorted(chance.sample(range(1, len(body)), 40)), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(cuts)]


_SPLITS: Final[dict[str, Callable[[bytes], list[bytes]]]] = {
    "whole": _whole,
    "by byte": _by_byte,
    "at random": _at_random,
}


@dataclass(frozen=True, eq=False)
class Played:
    """A recording, sent in these pieces."""

    pieces: list[bytes]

    async def play(self, stage: Stage) -> None:
        stage.head()
        for piece in self.pieces:
            stage.send(piece)
            await asyncio.sleep(0)  # the reader has its turn before the next
        stage.end()


@pytest.fixture(scope="module")
def stage() -> Iterator[UpstreamThread]:
    """What plays to the SDKs, which block."""
    with UpstreamThread() as upstream:
        yield upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as scripted:
        yield scripted


def body_of(dialect: str, name: str, **form: Any) -> bytes:  # noqa: ANN401 - how it is written
    return written(RECORDINGS[dialect][name], names=dialect != "openai", **form)


def as_the_sdk_counts(dialect: str, counts: dict[str, Any]) -> Usage:
    """What the SDK gathered, in the words of the domain."""
    if dialect == "anthropic":
        read, made = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
        return Usage(
            input_tokens=counts["input_tokens"] + read + made,
            output_tokens=counts["output_tokens"],
            cached_input_tokens=read,
        )
    if dialect == "responses":
        return Usage(
            input_tokens=counts["input_tokens"],
            output_tokens=counts["output_tokens"],
            cached_input_tokens=counts["input_tokens_details"]["cached_tokens"],
            reasoning_tokens=counts["output_tokens_details"]["reasoning_tokens"],
        )
    return Usage(
        input_tokens=counts["prompt_tokens"],
        output_tokens=counts["completion_tokens"],
        cached_input_tokens=counts["prompt_tokens_details"]["cached_tokens"],
        reasoning_tokens=counts["completion_tokens_details"]["reasoning_tokens"],
    )


async def heard(asker: Asker) -> Reply | ModelError:
    try:
        reply = await asker.ask(upstream_model="m")
    except ModelError as error:
        return error
    assert "".join(asker.heard) == reply.text
    return reply


def agrees(ours: Reply | ModelError, theirs: dict[str, Any], dialect: str) -> None:
    """Compare what we read with what the SDK read."""
    if "failed" in theirs:
        assert theirs["failed"] != "APIConnectionError", "the SDK did not come so far as to read"
        assert isinstance(ours, ModelError)
        return
    if theirs["refusal"]:
        assert isinstance(ours, ModelRefused)
        return
    if theirs["tools"]:  # none are ever offered
        assert isinstance(ours, ModelError)
        return
    assert isinstance(ours, Reply)
    assert ours.text == theirs["text"]
    assert ours.served_model == theirs["model"]
    assert ours.finish_reason is _ENDINGS[theirs["finish"]]
    assert ours.mean_logprob == theirs["logprob"]
    if theirs["usage"] is not None:
        expected = as_the_sdk_counts(dialect, theirs["usage"])
        assert (ours.usage.input_tokens, ours.usage.output_tokens) == (expected.input_tokens, expected.output_tokens)
        assert ours.usage.cached_input_tokens == expected.cached_input_tokens
        assert ours.usage.reasoning_tokens >= expected.reasoning_tokens


@pytest.mark.parametrize("split", _SPLITS)
@pytest.mark.parametrize(("dialect", "name"), _CASES)
async def test_an_answer_is_read_as_the_sdk_reads_it_however_it_is_split(
    dialect: str, name: str, split: str, sdks: Sdks, stage: UpstreamThread, upstream: Upstream, http: Transport
) -> None:
    body = body_of(dialect, name)
    stage.script("m", Raw(body))
    theirs = sdks.do(_READERS[dialect], endpoint=stage.endpoint, model="m")
    upstream.script("m", Played(_SPLITS[split](body)))
    agrees(await heard(Asker(dialect, upstream.endpoint, http)), theirs, dialect)


@pytest.mark.parametrize("form", [{"escaped": True}, {"ends": b"\r\n"}], ids=["escaped", "CRLF"])
@pytest.mark.parametrize(("dialect", "name"), _CASES)
async def test_an_answer_is_read_as_the_sdk_reads_it_however_it_is_written(
    dialect: str,
    name: str,
    form: Any,  # noqa: ANN401 - how it is written
    sdks: Sdks,
    stage: UpstreamThread,
    upstream: Upstream,
    http: Transport,
) -> None:
    body = body_of(dialect, name, **form)
    stage.script("m", Raw(body))
    theirs = sdks.do(_READERS[dialect], endpoint=stage.endpoint, model="m")
    upstream.script("m", Played(_at_random(body)))
    agrees(await heard(Asker(dialect, upstream.endpoint, http)), theirs, dialect)
