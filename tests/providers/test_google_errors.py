"""What Google's endpoints tell of a limit stands in the body of the error, not in its headers."""

import json
from typing import Any

import pytest

from moa_server.domain.errors import ModelError, ModelQuotaExhausted, ModelThrottled, ModelUnavailable
from tests.providers.asker import Asker
from tests.upstream import Events, Status, Upstream

RPC = "type.googleapis.com/google.rpc."
A_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
A_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


def told(*quotas: str, code: int = 429, delay: str | None = "34s") -> dict[str, Any]:
    """An error object as Gemini's endpoint writes it."""
    details: list[dict[str, Any]] = [{"@type": f"{RPC}Help", "links": []}]
    if quotas:
        violations = [{"quotaMetric": "requests", "quotaId": quota} for quota in quotas]
        details.append({"@type": f"{RPC}QuotaFailure", "violations": violations})
    if delay is not None:
        details.append({"@type": f"{RPC}RetryInfo", "retryDelay": delay})
    status = "RESOURCE_EXHAUSTED" if code == 429 else "UNAVAILABLE"
    words = "You exceeded your current quota, please check your plan and billing details."
    return {"error": {"code": code, "message": words, "status": status, "details": details}}


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "in a list"])
@pytest.mark.parametrize(
    ("told_of", "kind", "wait"),
    [
        (told(A_MINUTE), ModelThrottled, 34.0),
        (told(), ModelThrottled, 34.0),
        (told(A_MINUTE, delay=None), ModelThrottled, None),
        (told(A_MINUTE, delay="soon"), ModelThrottled, None),
        (told(code=503, delay="1.5s"), ModelUnavailable, 1.5),
        (told(A_MINUTE, A_DAY), ModelQuotaExhausted, 34.0),
        (told("GenerateTokensDaily"), ModelQuotaExhausted, 34.0),
    ],
)
async def test_an_error_is_read_with_its_details(
    openai: Asker,
    upstream: Upstream,
    told_of: dict[str, Any],
    kind: type[ModelError],
    wait: float | None,
    *,
    wrapped: bool,
) -> None:
    body = json.dumps([told_of] if wrapped else told_of).encode()
    upstream.script("m", Status(told_of["error"]["code"], body=body))
    failure = await openai.failure()
    assert (type(failure), failure.retry_after_s) == (kind, wait)
    assert failure.permanent == (kind is ModelQuotaExhausted)
    assert "billing" not in failure.detail


async def test_a_header_comes_before_the_body(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Status(429, {"retry-after": "2"}, json.dumps(told(A_MINUTE)).encode()))
    assert (await openai.failure()).retry_after_s == 2.0


async def test_an_error_inside_a_stream_has_its_hint_too(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(told(A_MINUTE, delay="7s")))
    failure = await openai.failure()
    assert (type(failure), failure.retry_after_s) == (ModelThrottled, 7.0)


@pytest.mark.parametrize(
    "details",
    [None, "x", {"a": 1}, [None], [{"violations": "x"}], [{"violations": [None, "PerDay"]}], [{"violations": [{}]}]],
    ids=str,
)
async def test_details_of_any_other_shape_are_left_alone(openai: Asker, upstream: Upstream, details: object) -> None:
    body = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": details}}
    upstream.script("m", Status(429, body=json.dumps(body).encode()))
    failure = await openai.failure()
    assert (type(failure), failure.retry_after_s) == (ModelThrottled, None)
