"""A key that does not last is fetched for each question, and fetched anew when the endpoint refuses it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from moa_server.domain.errors import ModelCredentialsRefused
from moa_server.domain.model import TimeLimits
from moa_server.domain.ports import CallTerms
from moa_server.domain.reliability import RetryRule
from moa_server.models.retry import Retry
from moa_server.providers import Transport
from tests.providers.asker import HELLO, Asker, NoAccount
from tests.upstream import Request, Script, Speech, Status, Upstream
from tests.upstream.stage import Player


@dataclass
class Tickets:
    """Keys one after another; the last is given for ever."""

    values: list[str] = field(default_factory=lambda: ["t-1", "t-2"])
    wait_s: float = 0.0
    told: list[str] = field(default_factory=list)
    """Those that were refused."""

    def reveal(self) -> str:
        raise AssertionError("it was not fetched")

    async def fetch(self) -> str:
        await asyncio.sleep(self.wait_s)
        if not self.values:
            raise ValueError("hush-hush")
        return self.values[0]

    def refused(self, value: str) -> bool:
        self.told.append(value)
        if len(self.values) > 1 and value == self.values[0]:
            self.values.pop(0)
            return True
        return False


def for_the_bearer_of(ticket: str) -> Script:
    def answer(request: Request) -> Player:
        given = request.headers.get("authorization", request.headers.get("x-api-key", ""))
        return Speech("ok") if given.removeprefix("Bearer ") == ticket else Status(401)

    return answer


async def test_it_is_sent_as_any_other_key(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", for_the_bearer_of("t-1"))
    assert (await asker.ask(api_key=Tickets())).text == "ok"


async def test_one_that_is_refused_is_told_and_the_call_may_be_made_again(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", for_the_bearer_of("t-2"))
    tickets = Tickets()
    failure = await asker.failure(api_key=tickets)
    assert (type(failure), failure.permanent, tickets.told) == (ModelCredentialsRefused, False, ["t-1"])
    assert (await asker.ask(api_key=tickets)).text == "ok"


async def test_a_retry_goes_out_with_the_next_one(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", for_the_bearer_of("t-2"))
    model = Retry(asker.model(api_key=Tickets()), RetryRule(attempts=1, base_s=0.0, least_in_window=10))
    terms = CallTerms(lambda _: None, NoAccount(), asyncio.get_running_loop().time() + 20.0)
    assert (await model.speak(HELLO, terms)).text == "ok"
    assert len(upstream.calls) == 2


async def test_where_no_other_can_be_had_the_refusal_is_for_good(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Status(401))
    failure = await asker.failure(api_key=Tickets(["t-1"]))
    assert (type(failure), failure.permanent) == (ModelCredentialsRefused, True)


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_no_other_failure_has_it_fetched_anew(asker: Asker, upstream: Upstream, status: int) -> None:
    upstream.script("m", Status(status))
    tickets = Tickets()
    await asker.failure(api_key=tickets)
    assert tickets.told == []


async def test_it_is_waited_for_as_long_as_for_a_connection(asker: Asker, upstream: Upstream) -> None:
    failure = await asker.failure(api_key=Tickets(wait_s=30.0), times=TimeLimits(connect=0.05))
    assert (type(failure), failure.permanent) == (ModelCredentialsRefused, False)
    assert "could not be had in time" in failure.detail
    failure = await asker.failure(api_key=Tickets(wait_s=30.0), within_s=0.05)
    assert type(failure) is ModelCredentialsRefused
    assert upstream.calls == []


async def test_without_one_nothing_is_sent_and_nothing_is_told_of_why(asker: Asker, upstream: Upstream) -> None:
    failure = await asker.failure(api_key=Tickets([]))
    assert (type(failure), failure.permanent) == (ModelCredentialsRefused, True)
    assert "hush" not in failure.detail
    assert upstream.calls == []


async def test_one_that_would_forge_a_header_is_not_sent(asker: Asker, upstream: Upstream) -> None:
    failure = await asker.failure(api_key=Tickets(["t\r\nx-evil: 1"]))
    assert type(failure) is ModelCredentialsRefused
    assert upstream.calls == []


async def test_a_slow_key_holds_up_nobody_else(upstream: Upstream, http: Transport) -> None:
    upstream.script("m", Speech("ok"), Speech("ok"))
    slow = asyncio.create_task(Asker("openai", upstream.endpoint, http).ask(api_key=Tickets(wait_s=0.2)))
    await asyncio.sleep(0)
    assert (await Asker("openai", upstream.endpoint, http).ask(api_key=Tickets())).text == "ok"
    assert not slow.done()
    assert (await slow).text == "ok"
