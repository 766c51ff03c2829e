"""What models refuse of a request, in each dialect on real sockets: what is sent, counted, remembered and billed."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import LimitError, ModelError
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.ports import CallTerms, Model, SystemClock
from moa_server.domain.reliability import Reliability, RetryRule
from moa_server.domain.usage import Budget
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.runs.spending import Spending, TurnAccount
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.providers.dialects import DIALECTS
from moa_server.telemetry import names
from tests.telemetry.spans import recorded
from tests.upstream import Speech, Status, Upstream
from tests.upstream.picky import Complain, Picky, by_message, by_param, complaint

TEMPERATURE = frozenset({"temperature"})
CALM = Reliability(RetryRule(attempts=0))
ASKED = Prompt((Message.of(Role.USER, "Hello there"),), Sampling(temperature=0.5, max_tokens=20))


@dataclass
class Asked:
    """What one call has left behind."""

    text: str
    left_out: frozenset[str]
    account: TurnAccount
    spending: Spending

    @property
    def story(self) -> list[tuple[str, str, str]]:
        """Why each attempt was made, how it failed, and the endpoint's own code of that."""
        return [(attempt.kind.value, attempt.failure, attempt.upstream_code) for attempt in self.account.attempts]


class Scene:
    """An endpoint in one dialect, its model, and who asks it."""

    def __init__(self, upstream: Upstream, http: Transport, dialect: str) -> None:
        self.upstream = upstream
        self.dialect = dialect
        self._http = http

    def model(self, **dialect: Any) -> Model:  # noqa: ANN401 - any option
        spec = ModelSpec(
            "m", self.dialect, self.upstream.endpoint, "m", max_output=20, dialect=dialect, reliability=CALM
        )
        return build_models([spec], lambda spec: PROVIDERS[spec.provider](spec, self._http))["m"]

    async def ask(self, model: Model, prompt: Prompt = ASKED, budget: Budget = Budget()) -> Asked:
        now = asyncio.get_running_loop().time()
        spending = Spending(budget)
        account = TurnAccount(spending, UpperBounds({}), SystemClock(), now + 20.0, lambda: True)
        terms = CallTerms(lambda _: None, account, now + 20.0, run_id="run")
        try:
            reply = await model.speak(prompt, terms)
        except (ModelError, LimitError) as error:
            return Asked(error.reason(), frozenset(), account, spending)
        return Asked(reply.text, reply.left_out, account, spending)

    def sent(self, name: str) -> list[bool]:
        """Whether each request so far had a field."""
        return [name in call.body for call in self.upstream.calls]


@pytest.fixture(params=DIALECTS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, Transport() as http:
        yield Scene(upstream, http, str(request.param))


REFUSED = "MODEL_REJECTED_REQUEST"


@pytest.mark.parametrize("complain", [by_param, by_message])
async def test_the_first_call_finds_out_and_the_others_are_spared_it(scene: Scene, complain: Complain) -> None:
    scene.upstream.script("m", Picky(["temperature"], complain=complain))
    model = scene.model()
    with recorded() as spans:
        asked = await scene.ask(model)
    assert (asked.text, asked.left_out) == ("here", TEMPERATURE)
    code = "unsupported_parameter" if complain is by_param else "invalid_request_error"
    assert asked.story == [("first", REFUSED, code), ("adjusted", "", "")]
    assert asked.account.usage.calls == asked.spending.spent.calls == 2
    chats = [dict(span.attributes or {}) for span in spans.all() if span.name.startswith("chat")]
    assert [chat[names.ATTEMPT_KIND] for chat in chats] == ["first", "adjusted"]
    assert [chat.get(names.REQUEST_TEMPERATURE) for chat in chats] == [0.5, None]
    assert (await scene.ask(model)).story == [("first", "", "")]
    assert scene.sent("temperature") == [True, False, False]


async def test_it_is_tried_again_after_an_hour(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature"]))
    loop, model = asyncio.get_running_loop(), scene.model()
    await scene.ask(model)
    later = 3601.0
    loop.time = lambda: time.monotonic() + later  # type: ignore[method-assign]
    try:
        await scene.ask(model)
    finally:
        del loop.time
    assert scene.sent("temperature") == [True, False, True, False]


async def test_parameters_that_are_refused_in_turn_are_each_found_out(scene: Scene) -> None:
    if scene.dialect == "responses":
        pytest.skip("it has no word for stop sequences")
    stop = "stop" if scene.dialect == "openai" else "stop_sequences"
    scene.upstream.script("m", Picky([stop, "temperature", "top_p"]))
    prompt = replace(ASKED, sampling=Sampling(0.5, 0.9, stop=("END",)))
    model = scene.model()
    asked = await scene.ask(model, prompt)
    assert (asked.text, asked.left_out) == ("here", frozenset({"stop", "temperature", "top_p"}))
    assert [kind for kind, _, _ in asked.story] == ["first", "adjusted", "adjusted", "adjusted"]
    assert (await scene.ask(model, prompt)).story == [("first", "", "")]


async def test_an_endpoint_that_refuses_everything_ends_as_the_refusal_that_it_is(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature", "top_p", "model"]))
    model = scene.model()
    for _ in range(2):
        asked = await scene.ask(model, replace(ASKED, sampling=Sampling(0.5, 0.9)))
        assert (asked.text, len(asked.story)) == (REFUSED, 3)
    assert scene.sent("temperature") == [True, False, False] * 2, "nothing is kept that was of no use"


async def test_an_endpoint_that_refuses_the_same_whatever_is_sent_is_asked_once_more(scene: Scene) -> None:
    scene.upstream.script("m", by_param("temperature"))
    asked = await scene.ask(scene.model())
    assert (asked.text, scene.sent("temperature")) == (REFUSED, [True, False])


async def test_a_budget_of_one_call_leaves_the_refusal_as_it_is(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature"]))
    asked = await scene.ask(scene.model(), budget=Budget(calls=1))
    assert (asked.text, len(asked.story), len(scene.upstream.calls)) == (REFUSED, 1, 1)


async def test_a_refused_call_takes_no_tokens_from_the_budget(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature"]))
    once = UpperBounds({}).worst_call(scene.model().spec, ASKED)
    asked = await scene.ask(scene.model(), budget=Budget(tokens=once.tokens))
    assert asked.text == "here"


async def test_a_prompt_that_imitates_the_error_teaches_nothing(scene: Scene) -> None:
    words = "Unsupported parameter: 'temperature' is not supported with this model."
    prompt = replace(ASKED, messages=(Message.of(Role.USER, words),))
    for quoted in (
        complaint(f"Cannot read: {words}"),
        complaint(words, param="messages"),
        Status(400, body=words.encode()),
    ):
        scene.upstream.calls.clear()
        model = scene.model()
        scene.upstream.script("m", quoted, Speech("here"))
        await scene.ask(model, prompt)
        scene.upstream.script("m", Speech("here"))
        asked = await scene.ask(model)
        assert (asked.text, asked.left_out, scene.sent("temperature")[-1]) == ("here", frozenset(), True)


async def test_who_asks_about_the_error_is_answered_all_the_same(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature"], complain=by_message))
    why = Message.of(Role.USER, "Why am I told that `temperature` is deprecated for this model?")
    assert (await scene.ask(scene.model(), replace(ASKED, messages=(why,)))).text == "here"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_on_the_output_is_renamed_and_never_left_out(scene: Scene, field: str) -> None:
    if scene.dialect != "openai":
        pytest.skip("its limit has one name")
    other = {"max_tokens", "max_completion_tokens"} - {field}
    scene.upstream.script("m", Picky([field]))
    model = scene.model(max_tokens_field=field)
    for _ in range(2):
        asked = await scene.ask(model)
        assert (asked.text, asked.left_out) == ("here", frozenset())
    assert [call.body.get(*other) for call in scene.upstream.calls] == [None, 20, 20]
    scene.upstream.script("m", Picky(["max_tokens", "max_completion_tokens"]))
    assert (await scene.ask(scene.model(max_tokens_field=field))).text == REFUSED
    assert all({"max_tokens", "max_completion_tokens"} & call.body.keys() for call in scene.upstream.calls)


async def test_first_calls_side_by_side_make_one_more_call_each_at_most(scene: Scene) -> None:
    scene.upstream.script("m", Picky(["temperature"]))
    model = scene.model()
    asked = await asyncio.gather(*(scene.ask(model) for _ in range(8)))
    assert {one.text for one in asked} == {"here"}
    assert all(len(one.story) <= 2 for one in asked)
    assert len((await scene.ask(model)).story) == 1
