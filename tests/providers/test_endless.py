"""A model that never stops: its answer ends in a named failure, what came of it is kept, and nobody goes on paying."""

from dataclasses import replace

import pytest

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import ModelAnswerTooLong
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.usage import Certainty
from moa_server.providers.reasoning import THINK, ReasoningFilter
from moa_server.providers.transcript import LONGEST_TEXT, Transcript
from tests.providers.asker import HELLO, Asker
from tests.upstream import Endless, Speech, Upstream

HUGE = 10_000_000
"""Tokens, which no bound but the absolute one stands before."""
WORDS = "again and again " * 64
MANY_WORDS = WORDS * 32


def of_at_most(max_tokens: int) -> Prompt:
    return replace(HELLO, sampling=Sampling(max_tokens=max_tokens))


@pytest.mark.parametrize("max_tokens", [1, 1_000, HUGE])
async def test_an_answer_without_an_end_is_cut_and_its_beginning_kept(
    asker: Asker, upstream: Upstream, max_tokens: int
) -> None:
    upstream.script("*", Endless(MANY_WORDS if max_tokens == HUGE else WORDS))
    failure = await asker.failure(of_at_most(max_tokens), window=2 * HUGE)
    assert isinstance(failure, ModelAnswerTooLong)
    assert failure.permanent, "the same model would do it again"
    heard = "".join(asker.heard)
    assert heard.startswith(WORDS)
    assert len(heard) <= min(max(32 * max_tokens, 16 * 1024), LONGEST_TEXT)
    [call] = upstream.calls
    await upstream.wait_for(lambda: call.aborted is not None)


async def test_where_the_call_names_no_length_the_models_own_counts(asker: Asker, upstream: Upstream) -> None:
    upstream.script("*", Endless(WORDS))
    failure = await asker.failure(replace(HELLO, sampling=Sampling()), max_output=1_000)
    assert isinstance(failure, ModelAnswerTooLong)
    assert len("".join(asker.heard)) <= 32_000


@pytest.mark.parametrize("max_tokens", [1, HUGE])
async def test_reasoning_without_an_end_is_cut_too(asker: Asker, upstream: Upstream, max_tokens: int) -> None:
    upstream.script("*", Endless(reasoning=MANY_WORDS))
    failure = await asker.failure(of_at_most(max_tokens), window=2 * HUGE)
    assert isinstance(failure, ModelAnswerTooLong)
    assert asker.heard == []
    assert failure.usage is not None
    assert failure.usage.reasoning_tokens > 0, "it is paid for"
    [call] = upstream.calls
    await upstream.wait_for(lambda: call.aborted is not None)


def test_a_piece_beyond_all_bounds_is_not_looked_through() -> None:
    """It may be megabytes of nothing but tags, and each of them takes its time."""

    class Untouched(ReasoningFilter):
        def feed(self, piece: str) -> tuple[str, str]:
            raise AssertionError(f"{len(piece)} characters are looked through")

    transcript = Transcript(ModelSpec("m", "openai", max_output=1), HELLO, Untouched([THINK]))
    with pytest.raises(ModelAnswerTooLong):
        transcript.say("<think></think>" * 10_000)


@pytest.mark.parametrize("before", ["", "<think>so</think>", "<think>"])
async def test_blanks_without_an_end_are_cut_too(asker: Asker, upstream: Upstream, before: str) -> None:
    upstream.script("*", Endless(" \n" * 200, before=before))
    assert isinstance(await asker.failure(of_at_most(100)), ModelAnswerTooLong)


async def test_what_was_written_beyond_its_limit_is_counted(asker: Asker, upstream: Upstream) -> None:
    upstream.script("*", Endless(WORDS))
    failure = await asker.failure(of_at_most(10))
    assert failure.usage is not None
    assert failure.usage.output_tokens > 1_000
    assert failure.usage.certainty is Certainty.ESTIMATED


async def test_a_single_piece_that_is_too_long_is_never_heard(asker: Asker, upstream: Upstream) -> None:
    upstream.script("*", Endless(WORDS * 3_000))
    assert isinstance(await asker.failure(of_at_most(HUGE), window=2 * HUGE), ModelAnswerTooLong)
    assert asker.heard == []


async def test_reasoning_may_be_as_long_as_the_model_allows_though_its_answer_is_to_be_short(
    asker: Asker, upstream: Upstream
) -> None:
    """Some endpoints do not count it among the tokens that a call asks for."""
    upstream.script("*", Speech("yes", reasoning="hm " * 20_000))
    assert (await asker.ask(of_at_most(1), max_output=4_000)).text == "yes"


async def test_no_name_of_a_model_is_too_long_to_be_kept(openai: Asker, upstream: Upstream) -> None:
    upstream.script("*", Speech("yes", served_model="m" * 100_000))
    assert len((await openai.ask()).served_model) == 512
