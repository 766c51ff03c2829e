"""The failures that aimock plays: each is known for what it is, in every dialect, and outlived where it can be."""

import json
from collections.abc import Iterator
from shutil import which
from typing import Any, Final

import pytest

from moa_server.domain.errors import ModelError, ModelThrottled
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.domain.reliability import Reliability, RetryRule
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.providers.dialects import DIALECTS
from tests.models.fakes import Caller
from tests.providers.asker import Key
from tests.real.programmes import AIMOCK, free_port, serving, skip_unless

_TEXT: Final = "One two three four five six seven eight nine."
_SLOWLY: Final = {"chunkSize": 4, "latency": 20}
"""A cut that comes at once overtakes what was said before it."""
_DOWN: Final = {"error": {"message": "Oops", "type": "server_error"}, "status": 500}
_LIMITED: Final = {"error": {"message": "Slower", "type": "rate_limit_error"}, "status": 429}


def _play(model: str, response: object, *, turn: int | None = None, **how: object) -> dict[str, Any]:
    turns = {} if turn is None else {"sequenceIndex": turn}
    return {"match": {"model": model, **turns}, "response": response, **how}


_PLAYS: Final = [
    _play("fine", {"content": _TEXT}, chunkSize=4),
    _play("thinks", {"content": "Four.", "reasoning": "Two and two is four."}),
    _play("calls", {"toolCalls": [{"name": "weather", "arguments": '{"city":"Oslo"}'}]}),
    _play("limited", {**_LIMITED, "retryAfter": 7}),
    _play("down", _DOWN),
    _play("dropped", {"content": _TEXT}, chaos={"dropRate": 1}),
    _play("rubbish", {"content": _TEXT}, chaos={"malformedRate": 1}),
    _play("gone", {"content": _TEXT}, chaos={"disconnectRate": 1}),
    _play("cut", {"content": _TEXT}, **_SLOWLY, truncateAfterChunks=4),
    _play("leaves", {"content": _TEXT}, **_SLOWLY, disconnectAfterMs=150),
    # It counts a play's turns over all dialects: each has one of its own.
    *(_play(f"down once in {name}", _DOWN, turn=0) for name in DIALECTS),
    *(_play(f"down once in {name}", {"content": _TEXT}, turn=1) for name in DIALECTS),
]
FAILURES: Final = {
    "limited": "ModelThrottled",
    "down": "ModelUnavailable",
    "dropped": "ModelUnavailable",
    "rubbish": "ModelProtocolBroken",
    "gone": "ModelUnavailable",
    "cut": "ModelStreamCut",
    "leaves": "ModelStreamCut",
}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = which("node")
    skip_unless(node is not None and AIMOCK.exists(), "aimock (.ci/pins/aimock), or node to run it,")
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": _PLAYS}))
    port = free_port()
    command = (str(node), str(AIMOCK), "--port", str(port), "--fixtures", str(folder), "--log-level", "warn")
    with serving(*command, is_up=f"http://127.0.0.1:{port}/health", folder=folder):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asked(dialect: str, running: str, http: Transport) -> "Asked":
    return Asked(dialect, running, http)


class Asked:
    """Its models, by what they play."""

    def __init__(self, dialect: str, endpoint: str, http: Transport) -> None:
        self._dialect = dialect
        self._endpoint = endpoint
        self._http = http

    def bare(self, model: str, reliability: Reliability = Reliability()) -> Model:
        spec = ModelSpec("voice", self._dialect, self._endpoint, model, Key(["k"]), reliability=reliability)
        return PROVIDERS[self._dialect](spec, self._http)

    def patient(self, model: str) -> Model:
        own = self.bare(model, Reliability(RetryRule(attempts=2)))
        return build_models([own.spec], lambda _: own)["voice"]


async def test_its_answers_are_read(asked: Asked) -> None:
    caller = Caller()
    assert (await caller.ask(asked.bare("fine"))).text == _TEXT == "".join(caller.heard)


async def test_its_reasoning_is_kept_out(asked: Asked) -> None:
    reply = await Caller().ask(asked.bare("thinks"))
    assert reply.text == "Four."


async def test_its_tool_call_is_no_answer(asked: Asked) -> None:
    with pytest.raises(ModelError):
        await Caller().ask(asked.bare("calls"))


@pytest.mark.parametrize("model", FAILURES)
async def test_its_failure_is_known_for_what_it_is(asked: Asked, model: str) -> None:
    assert await Caller().failure(asked.bare(model)) == FAILURES[model]


async def test_its_hint_to_wait_is_heeded(asked: Asked) -> None:
    with pytest.raises(ModelThrottled) as caught:
        await Caller().ask(asked.bare("limited"))
    assert caught.value.retry_after_s == 7


async def test_its_passing_failure_is_outlived(asked: Asked, dialect: str) -> None:
    caller = Caller()
    reply = await caller.ask(asked.patient(f"down once in {dialect}"))
    assert reply.text == _TEXT
    assert [kind for _, kind, _ in caller.ledger.story] == ["first", "retry"]
