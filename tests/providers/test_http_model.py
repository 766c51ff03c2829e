"""Any transport of httpx can stand under a dialect; whatever it raises is one of our errors."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from moa_server.domain.errors import (
    ModelError,
    ModelProtocolBroken,
    ModelStreamCut,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from moa_server.domain.model import FinishReason
from moa_server.providers.transport import StaleConnection, UnsentRequest
from tests.providers.asker import Asker
from tests.upstream.wire import Wire
from tests.upstream.wires import WIRES

Handler = Callable[[httpx.Request], httpx.Response]
STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
def wire(dialect: str) -> Wire:
    return WIRES[dialect]("m", 2)


def answered(wire: Wire) -> list[bytes]:
    return [wire.opening(), wire.piece("yes, "), wire.piece("so"), wire.closing("stop", wire.usage(2, 0), done=True)]


def asker_of(dialect: str, handler: Handler) -> Asker:
    return Asker(dialect, "http://models.example/v1", httpx.MockTransport(handler))


async def test_a_mock_transport_stands_under_every_dialect(dialect: str, wire: Wire) -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, headers=STREAM, content=b"".join(answered(wire)))

    reply = await asker_of(dialect, handle).ask(gather_s=1.0)
    assert (reply.text, reply.finish_reason, reply.usage.output_tokens) == ("yes, so", FinishReason.STOP, 2)
    [request] = asked
    assert (request.method, request.url.host) == ("POST", "models.example")
    assert request.url.path == f"/v1{wire.path}"


async def test_a_transport_that_gathers_nothing_is_heard_piece_by_piece(dialect: str, wire: Wire) -> None:
    class Pieces(httpx.AsyncByteStream):
        """Never ends by itself."""

        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in answered(wire):
                yield piece
            raise AssertionError("it was read on after the answer was over")

        async def aclose(self) -> None:
            self.closed = True

    body = Pieces()
    asker = asker_of(dialect, lambda _: httpx.Response(200, headers=STREAM, stream=body))
    assert (await asker.ask(gather_s=1.0)).text == "yes, so"
    assert asker.heard == ["yes, ", "so"]
    assert body.closed


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectTimeout, ModelUnreachable),
        (httpx.ConnectError, ModelUnreachable),
        (httpx.UnsupportedProtocol, ModelUnreachable),
        (httpx.PoolTimeout, ModelTimeout),
        (httpx.ReadTimeout, ModelTimeout),
        (httpx.RemoteProtocolError, ModelProtocolBroken),
        (httpx.ReadError, ModelUnavailable),
        (httpx.WriteError, ModelUnavailable),
        (httpx.ProxyError, ModelUnavailable),
        (StaleConnection, ModelUnavailable),
        (UnsentRequest, ModelUnreachable),
    ],
)
async def test_what_a_transport_raises_before_the_answer(
    dialect: str, raised: type[httpx.TransportError], kind: type[ModelError]
) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise raised("no")

    failure = await asker_of(dialect, handle).failure()
    assert (type(failure), failure.usage) == (kind, None)
    assert failure.stale == issubclass(raised, StaleConnection)
    assert isinstance(failure.__cause__, raised)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ReadTimeout, ModelTimeout),
        (httpx.RemoteProtocolError, ModelProtocolBroken),
        (httpx.ReadError, ModelStreamCut),
        (httpx.CloseError, ModelStreamCut),
    ],
)
async def test_what_a_transport_raises_within_the_answer(
    dialect: str, wire: Wire, raised: type[httpx.TransportError], kind: type[ModelError]
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield wire.opening() + wire.piece("yes, ")
        raise raised("no more")

    failure = await asker_of(dialect, lambda _: httpx.Response(200, headers=STREAM, content=broken())).failure()
    assert type(failure) is kind
    assert failure.usage is not None
    assert isinstance(failure.__cause__, raised)
