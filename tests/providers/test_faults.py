"""Every way in which an endpoint can fail is a typed failure, and never text."""

import gzip
import socket
import ssl

import pytest
import trustme

from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelCredentialsRefused,
    ModelError,
    ModelOnlyReasoned,
    ModelProtocolBroken,
    ModelQuotaExhausted,
    ModelRefused,
    ModelRejectedRequest,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelUnknown,
    ModelUnreachable,
    ModelWindowExceeded,
)
from moa_server.domain.model import TimeLimits
from tests.providers.asker import SHORT, Asker
from tests.upstream import (
    Cut,
    Drip,
    Garbage,
    KeepAlives,
    NotAllowed,
    Raw,
    Redirect,
    Reset,
    Script,
    Silence,
    Speech,
    Status,
    Upstream,
)
from tests.upstream.wires import WIRES

SPOKEN = Speech("some words of an answer")


@pytest.mark.parametrize(
    ("status", "kind", "permanent"),
    [
        (400, ModelRejectedRequest, True),
        (401, ModelCredentialsRefused, True),
        (402, ModelQuotaExhausted, True),
        (403, ModelCredentialsRefused, True),
        (404, ModelUnknown, True),
        (408, ModelTimeout, False),
        (409, ModelUnavailable, False),
        (413, ModelWindowExceeded, True),
        (422, ModelRejectedRequest, True),
        (429, ModelThrottled, False),
        (500, ModelUnavailable, False),
        (502, ModelUnavailable, False),
        (503, ModelUnavailable, False),
        (504, ModelTimeout, False),
        (529, ModelUnavailable, False),
        (204, ModelProtocolBroken, False),
    ],
)
async def test_a_status_is_a_failure(
    asker: Asker, upstream: Upstream, status: int, kind: type[ModelError], *, permanent: bool
) -> None:
    upstream.script("m", Status(status, body=b"" if status == 204 else None))
    failure = await asker.failure()
    assert (type(failure), failure.permanent) == (kind, permanent)
    assert failure.metadata == {"status": str(status)}
    assert failure.detail == f"voice answered with status {status}"
    assert failure.usage is None


async def test_html_in_place_of_an_error_object_changes_nothing(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Status(502, {"content-type": "text/html"}, b"<html>Bad gateway</html>"))
    assert type(await asker.failure()) is ModelUnavailable


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Status(429, kind="insufficient_quota", error_code="insufficient_quota"), ModelQuotaExhausted),
        (Status(429, kind="rate_limit_error"), ModelThrottled),
        (Status(400, kind="invalid_request_error", error_code="context_length_exceeded"), ModelWindowExceeded),
        (
            Status(400, kind="invalid_request_error", message="prompt is too long: 9 tokens > 8 maximum"),
            ModelWindowExceeded,
        ),
        (
            Status(400, message="This model's maximum context length is 8192 tokens. However, you requested 9000."),
            ModelWindowExceeded,
        ),
        (
            Status(400, kind="exceed_context_size_error", message="the request exceeds the available context size"),
            ModelWindowExceeded,
        ),
        (
            Status(400, body=b'{"object":"error","message":"maximum context length is 8","code":400}'),
            ModelWindowExceeded,
        ),
        (Status(400, error_code="content_filter"), ModelRefused),
        (Status(400, body=b'[{"error":{"code":400,"message":"API key not valid."}}]'), ModelCredentialsRefused),
        (Status(400, message="Your credit balance is too low to access the API"), ModelQuotaExhausted),
        (Status(400, body=b"half a {"), ModelRejectedRequest),
    ],
)
async def test_an_error_object_makes_a_status_finer(
    openai: Asker, upstream: Upstream, script: Status, kind: type[ModelError]
) -> None:
    upstream.script("m", script)
    assert type(await openai.failure()) is kind


async def test_the_endpoints_own_words_stay_inside(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Status(500, message="the prompt was: Hello there"))
    failure = await asker.failure()
    assert "prompt" not in failure.detail + str(failure.metadata)


@pytest.mark.parametrize(("said", "permanent"), [("false", True), ("true", False)])
async def test_an_endpoint_may_say_whether_to_try_again(
    asker: Asker, upstream: Upstream, said: str, *, permanent: bool
) -> None:
    upstream.script("m", Status(500, {"x-should-retry": said}))
    assert (await asker.failure()).permanent is permanent


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5", "retry-after-ms": "700"}, 0.7),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-reset-requests": "1m2s", "x-ratelimit-reset-tokens": "20ms"}, 62.0),
        ({"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "3",
          "x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-tokens": "0"}, 0.02),
        ({}, None),
    ],
)  # fmt: skip
async def test_the_wish_of_an_endpoint_that_throttles_is_kept(
    asker: Asker, upstream: Upstream, headers: dict[str, str], wait: float | None
) -> None:
    upstream.script("m", Status(429, headers))
    assert (await asker.failure()).retry_after_s == wait


async def test_a_refused_connection(asker: Asker) -> None:
    async with Upstream() as gone:
        endpoint = gone.endpoint
    assert type(await asker.failure(endpoint=endpoint)) is ModelUnreachable


async def test_a_host_that_does_not_resolve(asker: Asker) -> None:
    assert type(await asker.failure(endpoint="http://nowhere.invalid/v1")) is ModelUnreachable


async def test_a_certificate_that_nobody_trusts(asker: Asker, untrusted: ssl.SSLContext) -> None:
    async with Upstream(tls=untrusted) as other:
        other.script("m", SPOKEN)
        assert type(await asker.failure(endpoint=other.endpoint)) is ModelUnreachable
        assert not other.calls


async def test_an_endpoint_that_speaks_no_tls(asker: Asker, upstream: Upstream) -> None:
    endpoint = upstream.endpoint.replace("http:", "https:")
    assert type(await asker.failure(endpoint=endpoint, times=TimeLimits(connect=0.2))) is ModelUnreachable


async def test_an_endpoint_that_accepts_no_connection(asker: Asker) -> None:
    """A full backlog leaves the handshake unanswered; nothing but the time limit ends it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 - its only parameter
            one.connect_ex(address)
        failure = await asker.failure(endpoint=f"http://127.0.0.1:{address[1]}/v1", times=TimeLimits(connect=0.2))
        for one in waiting:
            one.close()
    assert (type(failure), failure.detail) == (ModelUnreachable, "voice could not be connected to in time")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Reset(), ModelUnavailable),
        (Reset(before_headers=False), ModelStreamCut),
        (Cut(SPOKEN, 2, "reset"), ModelStreamCut),
        (Cut(SPOKEN, 2, "close"), ModelStreamCut),
        (Cut(SPOKEN, 2, "end"), ModelStreamCut),
        (Cut(SPOKEN, 2, "error"), ModelUnavailable),
        (Speech("words", finish=None, done=False, usage=None), ModelStreamCut),
        (Garbage(), ModelProtocolBroken),
        (Redirect("http://127.0.0.1:9/elsewhere"), ModelProtocolBroken),
        (Redirect("http://127.0.0.1:9/elsewhere", 307), ModelProtocolBroken),
        (Raw(b"<html>hello</html>", "text/html"), ModelProtocolBroken),
        (Raw(b'{"id":"x","choices":[]}', "application/json"), ModelProtocolBroken),
        (Raw(b'{"error":{"message":"busy","type":"overloaded_error"}}', "application/json"), ModelUnavailable),
        (Raw(b"\x1f\x8b\x08 no gzip at all", headers={"content-encoding": "gzip"}), ModelProtocolBroken),
        (Raw(gzip.compress(b"data: [DONE]\n\n"), headers={"content-encoding": "gzip"}), ModelProtocolBroken),
        (Raw(b'data: {"choices": [{"del\n\n'), ModelProtocolBroken),
        (NotAllowed(), ModelProtocolBroken),
        (Raw(b'data: {"type": "x\xff\xfe", "choices": []}\n\n'), ModelProtocolBroken),
        (Raw(tuple(b"data: " + b"x" * 1_000_000 for _ in range(50))), ModelProtocolBroken),
        (Raw(b""), ModelStreamCut),
        (Raw(b'data: {"choices": [{"del'), ModelStreamCut),
        (Speech(""), ModelAnsweredNothing),
        (Speech(" \n\t "), ModelAnsweredNothing),
        (Speech("", reasoning="long and deep thought"), ModelOnlyReasoned),
        (Speech("", finish="content_filter"), ModelRefused),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
async def test_a_fault(asker: Asker, upstream: Upstream, script: Script, kind: type[ModelError]) -> None:
    upstream.script("m", script)
    failure = await asker.failure()
    assert type(failure) is kind
    assert "".join(asker.heard) in SPOKEN.text + "words"
    await upstream.wait_for(lambda: not upstream.open_calls)


@pytest.mark.parametrize(
    "script",
    [
        Silence(),
        Silence(after_headers=True),
        Cut(SPOKEN, 2, "silence"),
        Cut(SPOKEN, 2, "keepalives"),
        KeepAlives(),
        Drip(SPOKEN, 0.02),
    ],
    ids=["before headers", "after headers", "mid-stream", "keep-alives mid-stream", "keep-alives", "dripping"],
)
async def test_silence_in_any_form_is_a_time_out(asker: Asker, upstream: Upstream, script: Script) -> None:
    upstream.script("m", script)
    assert type(await asker.failure(times=SHORT)) is ModelTimeout
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].aborted)


async def test_one_byte_a_second_is_cut_by_the_limit_of_the_whole(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Drip(SPOKEN, 0.005))
    times = TimeLimits(first_token=5.0, idle=5.0, total=0.3)
    failure = await asker.failure(times=times)
    assert (type(failure), failure.detail) == (ModelTimeout, "voice had not finished after 0.3 s")


async def test_the_deadline_of_the_run_cuts_an_answer(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech(tokens=1000, token_s=0.01))
    failure = await asker.failure(within_s=0.2)
    assert (type(failure), failure.detail) == (ModelTimeout, "voice had not finished at the deadline")
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].aborted)


async def test_each_time_limit_is_named(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Silence(), Cut(SPOKEN, 1, "silence"))
    assert (await asker.failure(times=SHORT)).detail == "voice gave no token within 0.15 s"
    assert (await asker.failure(times=SHORT)).detail == "voice was silent for 0.15 s between two tokens"


async def test_a_silent_model_is_left_while_others_have_time_to_stand_in(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Silence(after_headers=True))
    failure = await asker.failure(speak_within_s=0.15)
    assert type(failure) is ModelTimeout
    assert failure.detail == "voice gave no token while there was time for others to stand in"
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].aborted)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (Cut(SPOKEN, 2, "error"), None),
        (Raw(b'{"type":"error","error":{"message":"busy","type":"overloaded_error"}}', "application/json"), "529"),
    ],
    ids=["inside a stream", "in the place of one"],
)
async def test_an_overload_that_is_told_without_a_status_bears_one(
    asker: Asker, upstream: Upstream, script: Script, status: str | None
) -> None:
    """The one that the dialect's own error object names, inside a stream; in the place of one, the dialect is equal."""
    upstream.script("m", script)
    failure = await asker.failure()
    borne = status or WIRES[asker.dialect].overload_status
    assert (type(failure), failure.metadata) == (ModelUnavailable, {"status": borne})


async def test_a_redirect_to_another_host_is_not_followed(asker: Asker, upstream: Upstream) -> None:
    async with Upstream() as other:
        other.script("*", SPOKEN)
        upstream.script("m", Redirect(f"{other.endpoint}/chat/completions", 307))
        assert type(await asker.failure()) is ModelProtocolBroken
        assert not other.calls


async def test_a_kept_connection_that_breaks_under_a_question_is_told_apart_and_asked_once(
    asker: Asker, upstream: Upstream
) -> None:
    upstream.script("m", SPOKEN, Reset(), SPOKEN)
    await asker.ask()
    failure = await asker.failure()
    assert (type(failure), failure.stale) == (ModelUnavailable, True)
    assert len(upstream.calls) == 2
    assert (await asker.ask()).text == SPOKEN.text


async def test_a_kept_connection_that_breaks_after_a_while_is_a_failure(
    asker: Asker, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have begun to work by then, and would be paid twice."""
    monkeypatch.setattr("moa_server.providers.transport._AT_ONCE_S", 0.0)
    upstream.script("m", SPOKEN, Reset(), SPOKEN)
    await asker.ask()
    failure = await asker.failure()
    assert (type(failure), failure.stale) == (ModelUnavailable, False)
    assert len(upstream.calls) == 2


async def test_a_new_connection_that_breaks_under_a_question_is_a_failure(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Reset(), SPOKEN)
    failure = await asker.failure()
    assert (type(failure), failure.stale) == (ModelUnavailable, False)
    assert len(upstream.calls) == 1


@pytest.fixture
def untrusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
