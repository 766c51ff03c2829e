"""Carries one question to an endpoint and listens to its answer: what all dialects have in common."""

from collections.abc import AsyncIterator
from typing import Final, Protocol

import httpx

from moa_server.domain.errors import ModelError, ModelProtocolBroken, ModelStreamCut, ModelTimeout
from moa_server.domain.model import ModelSpec, Reply
from moa_server.domain.ports import CallTerms
from moa_server.providers.complaint import read_complaint
from moa_server.providers.failures import BEFORE_ANSWER, WITHIN_ANSWER, rejection, reported, translated
from moa_server.providers.sse import Event, EventReader
from moa_server.providers.timeouts import Patience, patience
from moa_server.providers.transcript import Transcript
from moa_server.providers.transport import READING, Reading

_MOST_OF_AN_ERROR: Final = 64 * 1024
"""Of the body of an answer that is a failure, in bytes."""
_MOST_OF_A_SILENCE: Final = 0.25
"""Of the longest silence that reading may pause, since what comes meanwhile is not heard of."""


class Listener(Protocol):
    """A dialect's understanding of one answer."""

    transcript: Transcript

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        ...

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        ...

    def take(self, event: Event) -> None:
        """Take the next event.

        Raises:
            ModelError: the event tells of a failure, or is none of the dialect's.
        """
        ...


class Exchange:
    """One question and its answer."""

    def __init__(self, spec: ModelSpec, http: httpx.AsyncBaseTransport, terms: CallTerms, listener: Listener) -> None:
        self._spec = spec
        self._http = http
        self._terms = terms
        self._listener = listener
        self._transcript = listener.transcript
        self._reading = Reading()
        self._answering = False
        """Whether the model has begun to work, so that tokens were used whatever comes of it."""

    async def carry(self, request: httpx.Request) -> Reply:
        """Send the question and return the whole answer."""
        request.extensions[READING] = self._reading
        request.extensions["timeout"] = {"connect": self._spec.times.connect}
        try:
            await self._hear_out(request)
            return self._reply()
        except ModelError as error:
            if self._answering:
                error.usage = self._transcript.usage()
            raise

    async def _hear_out(self, request: httpx.Request) -> None:
        try:
            async with patience(self._spec, self._terms) as patient:
                await self._ask(request, patient)
        except (ModelStreamCut, ModelTimeout):
            if not self._listener.finished:  # else only the counts, or the end of the body, are missing
                raise

    async def _ask(self, request: httpx.Request, patient: Patience) -> None:
        with translated(self._spec, BEFORE_ANSWER):
            response = await self._http.handle_async_request(request)
        try:
            await self._answer(response, patient)
        finally:
            await response.aclose()

    async def _answer(self, response: httpx.Response, patient: Patience) -> None:
        with translated(self._spec, WITHIN_ANSWER):
            if response.status_code != httpx.codes.OK:
                body = await _beginning(_pieces(response))
                raise rejection(self._spec, response.status_code, response.headers, body)
            await self._check_kind(response)
            self._answering = True
            await self._listen(_pieces(response), patient)

    async def _check_kind(self, response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise ModelProtocolBroken(f"{self._spec.name} answered in an encoding that it was not asked for")
        kind = response.headers.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return
        complaint = read_complaint(await _beginning(_pieces(response))) if kind.endswith("json") else None
        if complaint is not None:
            raise reported(self._spec, complaint)
        raise ModelProtocolBroken(f"{self._spec.name} answered with something that is no event stream")

    async def _listen(self, pieces: AsyncIterator[bytes], patient: Patience) -> None:
        reader = EventReader()
        async for piece in pieces:
            self._take(reader, piece)
            if self._transcript.tokens_came():
                patient.token()
            if self._listener.finished:
                patient.last_words()
            self._pass_on()

    def _take(self, reader: EventReader, piece: bytes) -> None:
        for event in reader.feed(piece):
            self._listener.take(event)
            if self._listener.over:
                self._reading.complete = True
                return

    def _pass_on(self) -> None:
        if text := self._transcript.unheard():
            self._terms.hear(text)
            self._reading.gather_s = min(self._terms.gather_s, self._spec.times.idle * _MOST_OF_A_SILENCE)

    def _reply(self) -> Reply:
        self._transcript.end()
        if not self._listener.finished:
            raise ModelStreamCut(f"{self._spec.name} ended its stream before it had finished")
        self._pass_on()
        return self._transcript.reply()


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the body as it comes; httpx's own iterators leave an unfinished generator behind when one breaks off."""
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport is not asynchronous")
    return aiter(stream)


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    body = b""
    async for piece in pieces:
        body += piece
        if len(body) >= _MOST_OF_AN_ERROR:
            break
    return body[:_MOST_OF_AN_ERROR]
