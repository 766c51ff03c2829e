"""Speaks HTTP: httpx's interface over aiohttp's connections, made once for all models.

httpx's own transport costs several times what this one does, and grows with the square of the open connections. The
ready-made bridge to aiohttp is as quick, but wakes its reader for every packet, gives its reader no way to be told to
wait, and calls a connection that was torn down before the headers a connect time-out.

A kept connection may be closed by its endpoint at the very moment of a request. One that is seen to be closed is not
used. One that breaks under its request, at once and before any byte of an answer, is told apart by `StaleConnection`,
and nothing is sent twice here: whoever asked decides whether the request goes out again, and accounts for it.
"""

import asyncio
import io
import select
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

READING: Final = "moa.reading"
"""The request extension that holds its `Reading`."""

_KEEP_S = 4.0
"""How long an idle connection is kept: common servers close theirs after five seconds, and may tear a request down."""
_LINGER_S = 0.1
"""How long a body may take to end once its last event has come, for the connection to be used again."""
_AT_ONCE_S = 1.0
"""Within it a closed connection is found out: a round trip, and what a busy machine adds."""
_BIG_BODY = 1 << 20
"""Above it, aiohttp wants bodies as files, and sends them in pieces."""

_FAILURES: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientSSLError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.ClientPayloadError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (OSError, httpx.ReadError),
)
"""The first that fits counts."""


class StaleConnection(httpx.ReadError):
    """A kept connection broke at once under its request, which the endpoint may have read."""


class UnsentRequest(StaleConnection):
    """A kept connection was found to be closed before the request could be written."""


@dataclass(slots=True)
class Reading:
    """How the body of one answer is read; its reader may change it at any time."""

    gather_s: float = 0.0
    """How long to wait after a piece, so that what comes meanwhile is read at once; the body's end ends the wait."""
    complete: bool = False
    """Nothing more is wanted, and what still comes may be thrown away."""


class Transport(httpx.AsyncBaseTransport):
    """Sends requests. Is made, and closed, once."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls or httpx.create_ssl_context()
        self._session: aiohttp.ClientSession
        self._ending = _Ending()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        )
        return self

    async def aclose(self) -> None:
        self._ending.close_all()
        await self._session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return when the headers of its answer are there."""
        _used_before.set(False)
        loop = asyncio.get_running_loop()
        sent = loop.time()
        with _as_httpx():
            try:
                answer = await self._send(request)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                # When the connection is new, or breaks later than a closed one is found out, somebody may have begun
                # to work: then it is a failure like any other.
                if not _used_before.get() or loop.time() - sent > _AT_ONCE_S:
                    raise
                raise _stale(error) from error
        reading = request.extensions.get(READING) or Reading()
        body = _Body(answer, reading, self._ending)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=body, request=request)

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        content = request.content
        connect_s = request.extensions.get("timeout", {}).get("connect")
        return await self._session.request(
            request.method,
            _url(str(request.url)),
            headers=request.headers,
            data=io.BytesIO(content) if len(content) > _BIG_BODY else content,
            allow_redirects=False,
            timeout=_time_limits(connect_s),
        )


def _stale(error: aiohttp.ClientError) -> StaleConnection:
    # aiohttp's own refusal to write to a connection that is closing: no request can have been read.
    unsent = isinstance(error.__cause__ or error, aiohttp.ClientConnectionResetError)
    return (UnsentRequest if unsent else StaleConnection)(str(error))


@lru_cache
def _url(text: str) -> URL:
    return URL(text, encoded=True)


@lru_cache
def _time_limits(connect_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=None)


_used_before: ContextVar[bool] = ContextVar("used_before", default=False)
"""Whether the connection of the request that this task makes had been used before."""


class _Connector(aiohttp.TCPConnector):
    """Tells used connections from new ones; aiohttp's own tracing would tell too, at a fifth of a short call's cost."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(limit=0, ssl=tls, keepalive_timeout=_KEEP_S)
        self._used: WeakSet[object] = WeakSet()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            used = connection.protocol in self._used
            if not (used and _is_readable(connection)):
                break
            connection.close()
        _used_before.set(used)
        self._used.add(connection.protocol)
        return connection


def _is_readable(connection: Connection) -> bool:
    """Tell whether there is something to read, which on an idle connection is its end, or nothing that it should be."""
    found = connection.transport and connection.transport.get_extra_info("socket")
    if not found or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _Ending:
    """Answers of which nothing more is wanted than their bodies' ends."""

    def __init__(self) -> None:
        self._answers: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}

    def add(self, answer: aiohttp.ClientResponse) -> None:
        """Close an answer soon."""
        self._answers[answer] = asyncio.get_running_loop().call_later(_LINGER_S, self._close, answer)

    def close_all(self) -> None:
        """Close them now."""
        for answer, timer in [*self._answers.items()]:
            timer.cancel()
            self._close(answer)

    def _close(self, answer: aiohttp.ClientResponse) -> None:
        del self._answers[answer]
        answer.close()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, in pieces as large as its reader has time for."""

    def __init__(self, answer: aiohttp.ClientResponse, reading: Reading, ending: _Ending) -> None:
        self._answer = answer
        self._content = answer.content
        self._reading = reading
        self._ending = ending
        self._pause: asyncio.Future[None] | None = None
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._reading.complete:
            raise StopAsyncIteration
        if self._reading.gather_s > 0 and self._begun and not self._content.is_eof():
            await self._gather()
        with _as_httpx():
            piece = await self._content.readany()
        self._note_end()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if self._reading.complete and not self._content.is_eof():
            self._ending.add(self._answer)
        else:
            self._answer.close()

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(self._reading.gather_s, self._resume)
        try:
            await self._pause
        finally:
            timer.cancel()

    def _note_end(self) -> None:
        if not self._begun:
            self._begun = True
            self._content.on_eof(self._resume)

    def _resume(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        kind = next(ours for theirs, ours in _FAILURES if isinstance(error, theirs))
        raise kind(str(error)) from error
