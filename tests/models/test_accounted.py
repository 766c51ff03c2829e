"""Every physical call is in the account, whatever becomes of it."""

import asyncio
from dataclasses import replace

import pytest

from moa_server.domain import tokens
from moa_server.domain.errors import (
    BudgetExceeded,
    ModelError,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.usage import Certainty, Usage
from moa_server.models.accounted import Accounted
from tests.models.fakes import PROMPT, Caller, Scripted, scripted, spec
from tests.models.timeless_loop import now, timeless


@timeless
async def test_a_success_is_closed_with_what_the_endpoint_reported() -> None:
    caller = Caller()
    started = now()
    await caller.ask(Accounted(scripted("m", [2.0, "a", 1.0, "b"])))
    [entry] = caller.ledger.entries
    assert (entry.closed, entry.usage, entry.failure) == (1, Usage(input_tokens=10, output_tokens=2), "")
    assert entry.served_model == "served-m"
    assert entry.first_token_at == started + 2.0
    assert caller.heard == ["a", "b"]


@timeless
async def test_what_was_sent_and_heard_of_a_broken_call_is_estimated() -> None:
    caller = Caller()
    assert await caller.failure(Accounted(scripted("m", ["some ", "words", ModelStreamCut("cut")]))) == "ModelStreamCut"
    [entry] = caller.ledger.entries
    assert entry.failure == "MODEL_STREAM_CUT"
    assert entry.usage == Usage(
        input_tokens=tokens.of_call(PROMPT.messages, None),
        output_tokens=tokens.of_text("some words"),
        certainty=Certainty.ESTIMATED,
    )


@timeless
async def test_what_was_heard_of_a_broken_call_is_counted_by_the_models_own_tokenizer() -> None:
    caller = Caller()
    by_letters = tokens.Remembered(len, 10)
    provider = Scripted(spec(counted_by=by_letters), [["some ", "words", ModelStreamCut("cut")]])
    await caller.failure(Accounted(provider))
    assert caller.ledger.entries[0].usage.output_tokens == len("some words")


@timeless
async def test_an_estimate_never_exceeds_what_was_asked_for() -> None:
    caller = Caller()
    await caller.failure(Accounted(scripted("m", ["word " * 1000, ModelStreamCut("cut")])))
    assert caller.ledger.entries[0].usage.output_tokens == PROMPT.sampling.max_tokens


@timeless
async def test_what_the_endpoint_reported_of_a_broken_call_is_taken_from_it() -> None:
    error = ModelTimeout("silent")
    error.usage = Usage(input_tokens=7, output_tokens=3)
    caller = Caller()
    await caller.failure(Accounted(scripted("m", ["a", error])))
    assert caller.ledger.entries[0].usage == Usage(input_tokens=7, output_tokens=3)


@pytest.mark.parametrize(
    "error",
    [
        ModelUnreachable("refused"),
        ModelThrottled("slow down"),
        ModelUnavailable("overloaded", metadata={"status": "529"}),
    ],
)
def test_a_call_that_no_model_has_read_used_nothing(error: ModelError) -> None:
    @timeless
    async def check() -> None:
        caller = Caller()
        await caller.failure(Accounted(scripted("m", [error])))
        assert caller.ledger.entries[0].usage == Usage()

    check()


@timeless
async def test_a_cancelled_call_is_closed_and_estimated() -> None:
    provider = scripted("m", ["a", 100.0])
    caller = Caller()
    task = asyncio.create_task(caller.ask(Accounted(provider)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [entry] = caller.ledger.entries
    assert (entry.closed, entry.failure, provider.cancelled) == (1, "STRAGGLER_CUT", 1)
    assert entry.usage.certainty is Certainty.ESTIMATED


@timeless
async def test_a_fault_of_our_own_is_closed_too() -> None:
    caller = Caller()
    with pytest.raises(ZeroDivisionError):
        await caller.ask(Accounted(scripted("m", [ZeroDivisionError()])))
    assert [(entry.closed, entry.failure) for entry in caller.ledger.entries] == [(1, "MODEL_PROTOCOL_BROKEN")]


@timeless
async def test_a_call_that_is_not_paid_for_is_not_made() -> None:
    provider = scripted("m")
    with pytest.raises(BudgetExceeded):
        await Caller(calls=0).ask(Accounted(provider))
    assert provider.called_at == []


@pytest.mark.parametrize(
    "error",
    [ModelUnavailable("reset"), ModelUnavailable("gateway", metadata={"status": "502"}), ModelTimeout("silent")],
)
def test_a_call_that_a_model_may_have_read_is_estimated(error: ModelError) -> None:
    @timeless
    async def check() -> None:
        caller = Caller()
        await caller.failure(Accounted(scripted("m", [error])))
        usage = caller.ledger.entries[0].usage
        assert (usage.input_tokens > 0, usage.output_tokens, usage.certainty) == (True, 0, Certainty.ESTIMATED)

    check()


class _Noting:
    """A provider that keeps its terms."""

    spec = spec()

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self.terms = terms
        return Reply("x")


@timeless
async def test_the_errand_reaches_the_provider_otherwise_unchanged() -> None:
    provider, caller = _Noting(), Caller()
    terms = CallTerms(caller.hear, caller.ledger, now() + 5, gather_s=0.02, run_id="r")
    await Accounted(provider).speak(PROMPT, terms)
    assert provider.terms == replace(terms, hear=provider.terms.hear)
