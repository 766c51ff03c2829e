"""Asks one model behind an endpoint, whatever its dialect: writes the request, sends it, and listens to the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

import httpx
import msgspec
from opentelemetry import propagate

from moa_server.domain import errors
from moa_server.domain.model import ExpiringSecret, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.providers.complaint import read_complaint
from moa_server.providers.dialect import Dialect, Listener
from moa_server.providers.failures import rejection, reported, translated
from moa_server.providers.refusal_log import RefusalLog
from moa_server.providers.refused_parameters import Question, note_refused
from moa_server.providers.sse import EventReader
from moa_server.providers.timeouts import Patience, patience
from moa_server.providers.transport import READING, Reading

_ALWAYS: Final = {
    "content-type": "application/json",
    "accept-encoding": "identity",
    "user-agent": "moa",
}
_UNAUTHORIZED: Final = "401"
_MOST_OF_AN_ERROR: Final = 64 * 1024
"""Of the body of an answer that is a failure, in bytes."""
_MOST_OF_A_WHOLE: Final = 8 * 1024 * 1024
"""Of the body of an answer that comes in one piece, in bytes: twice what any text and its reasoning may have."""
_MOST_OF_A_SILENCE: Final = 0.25
"""Of the longest silence that reading may pause, since what comes meanwhile is not heard of."""


class HttpModel:
    """One model behind an endpoint that speaks a dialect."""

    def __init__(self, spec: ModelSpec, dialect: Dialect[Any], http: httpx.AsyncBaseTransport) -> None:
        self._dialect = dialect
        self._http = http
        self._expiring = spec.api_key if isinstance(spec.api_key, ExpiringSecret) else None
        self._options = options = dialect.options(**spec.dialect)
        self._spec = spec if options.stream else replace(spec, times=spec.times.of_whole_answers())
        self._url = httpx.URL(spec.endpoint.rstrip("/") + options.path).copy_merge_params(options.query)
        accepted = "text/event-stream" if options.stream else "application/json"
        self._fixed_headers = httpx.Headers({**_ALWAYS, "accept": accepted, **dialect.headers(options)})
        self._refusals = RefusalLog(spec.name)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        try:
            return await self._ask(prompt, terms)
        except errors.ModelError as error:
            self._refusals.note(error)
            raise

    async def _ask(self, prompt: Prompt, terms: CallTerms) -> Reply:
        body, unsent = self._body(prompt)
        key = await self._key(terms)
        request = httpx.Request("POST", self._url, headers=self._headers(key), content=body)
        request.extensions["timeout"] = {"connect": self._spec.times.connect}
        listener = self._dialect.listener(self._spec, self._options, prompt)

        def changes_without(parameter: str) -> bool:
            without, _ = self._body(replace(prompt, left_out=prompt.left_out | {parameter}))
            return bool(msgspec.json.decode(without) != msgspec.json.decode(body))  # the order of fields says nothing

        question = Question(prompt, self._dialect.words, changes_without)
        exchange = _Exchange(self._spec, self._http, terms, listener, question, reasons=prompt.reasons(self._spec))
        try:
            reply = await exchange.carry(request)
        except errors.ModelCredentialsRefused as error:
            # Another key may do, so that the call may be made again.
            if self._expiring is not None and key and error.metadata.get("status") == _UNAUTHORIZED:
                error.permanent = not self._expiring.refused(key)
            raise
        return replace(reply, left_out=unsent) if unsent else reply

    def _body(self, prompt: Prompt) -> tuple[bytes, frozenset[str]]:
        """Return the request's JSON, and what of the prompt's settings the dialect does not send."""
        # What was refused of a model's own section is left out too.
        asked = prompt.completed(self._spec).as_sent()
        taken = self._dialect.takes(self._options, asked.sampling)
        asked = replace(asked, sampling=taken.sampling)
        return self._dialect.body(self._spec, self._options, asked), frozenset(taken.unsent)

    async def _key(self, terms: CallTerms) -> str | None:
        """Return the key as it is now; one that has to be fetched is waited for as a connection is.

        Raises:
            ModelCredentialsRefused: there is no key that could be sent.
        """
        spec = self._spec
        if spec.api_key is None:
            return None
        try:
            if self._expiring is None:
                key = spec.api_key.reveal()
            else:
                soon = asyncio.get_running_loop().time() + spec.times.connect
                async with asyncio.timeout_at(min(soon, terms.deadline)):
                    key = await self._expiring.fetch()
        except TimeoutError:
            late = errors.ModelCredentialsRefused(f"the key of {spec.name} could not be had in time")
            late.permanent = False
            raise late from None
        except (OSError, ValueError, LookupError) as error:
            raise errors.ModelCredentialsRefused(f"the key of {spec.name} cannot be read") from error
        # A line break in it would forge further headers.
        if not key or not key.isascii() or not key.isprintable():
            raise errors.ModelCredentialsRefused(f"the key of {spec.name} cannot be sent in a header")
        return key

    def _headers(self, key: str | None) -> httpx.Headers:
        """Return the headers of the next question: with a key, and the trace it belongs to."""
        headers = self._fixed_headers.copy()
        if key is not None:
            name = self._options.key_header
            headers[name] = f"Bearer {key}" if name.lower() == "authorization" else key
        trace: dict[str, str] = {}
        propagate.inject(trace)
        headers.update(trace)
        return headers


class _Exchange:
    """One question and its answer."""

    def __init__(
        self,
        spec: ModelSpec,
        http: httpx.AsyncBaseTransport,
        terms: CallTerms,
        listener: Listener,
        question: Question,
        *,
        reasons: bool,
    ) -> None:
        self._spec = spec
        self._http = http
        self._terms = terms
        self._reasons = reasons
        self._listener = listener
        self._question = question
        self._transcript = listener.transcript
        self._reading = Reading()
        self._answering = False
        """Whether the model has begun to work, so that tokens were used whatever comes of it."""

    async def carry(self, request: httpx.Request) -> Reply:
        """Send the question and return the whole answer."""
        try:
            await self._hear_out(request)
            self._transcript.end()
            if not self._listener.finished:
                raise errors.ModelStreamCut(f"{self._spec.name} ended its stream before it had finished")
            self._pass_on()
            return self._transcript.reply()
        except errors.ModelError as error:
            if self._answering:
                error.usage = self._transcript.usage()
            raise

    async def _hear_out(self, request: httpx.Request) -> None:
        # Any other transport than ours leaves it alone: then nothing is gathered.
        request.extensions[READING] = self._reading
        try:
            async with patience(self._spec, self._terms, reasons=self._reasons) as patient:
                with translated(self._spec, answering=False):
                    response = await self._http.handle_async_request(request)
                self._terms.alive()
                async with aclosing(response):
                    with translated(self._spec, answering=True):
                        if await self._is_stream(response):
                            self._answering = True
                            patient.answering()
                            await self._listen(response, patient)
                        else:
                            patient.whole()
                            await self._read_whole(response)
        except (errors.ModelStreamCut, errors.ModelTimeout):
            if not self._listener.finished:  # else only the counts, or the end of the body, are missing
                raise

    async def _is_stream(self, response: httpx.Response) -> bool:
        """Let nothing pass but an event stream, and JSON in its place."""
        name = self._spec.name
        if response.status_code != httpx.codes.OK:
            body = await _beginning(response)
            error = rejection(self._spec, response.status_code, response.headers, body)
            note_refused(error, body, self._question)
            raise error
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise errors.ModelProtocolBroken(f"{name} answered in an encoding that it was not asked for")
        unsaid = "application/json" if self._spec.times.until_whole else "text/event-stream"
        kind: str = response.headers.get("content-type", unsaid).partition(";")[0].strip().lower()
        if kind != "text/event-stream" and not kind.endswith("json"):
            raise errors.ModelProtocolBroken(f"{name} answered with something that is neither an event stream nor JSON")
        return kind == "text/event-stream"

    async def _read_whole(self, response: httpx.Response) -> None:
        """Read an answer that comes in one piece, as it was asked for or not."""
        body = bytearray()
        async for piece in _pieces(response):
            self._terms.alive()
            body += piece
            if len(body) > _MOST_OF_A_WHOLE:
                self._answering = True
                raise errors.ModelAnswerTooLong(f"{self._spec.name} wrote more than its answer may be long")
        self._reading.complete = True
        self._answering = True
        with suppress(msgspec.DecodeError):
            if self._listener.take_whole(bytes(body)):
                return
        # Some endpoints tell of a failure with the status of a success.
        self._answering = False
        complaint = read_complaint(bytes(body[:_MOST_OF_AN_ERROR]), says_so=True)
        if complaint is not None:
            raise reported(self._spec, complaint)
        raise errors.ModelProtocolBroken(f"{self._spec.name} answered with JSON that is no whole answer")

    async def _listen(self, response: httpx.Response, patient: Patience) -> None:
        reader, listener = EventReader(), self._listener
        async for piece in _pieces(response):
            self._terms.alive()
            for event in reader.feed(piece):
                listener.take(event)
                if listener.over:
                    self._reading.complete = True
                    break
            if self._transcript.tokens_came():
                patient.token(reasons_unseen=self._transcript.reasons_unseen)
            if listener.finished:
                patient.last_words()
            self._pass_on()
            if self._reading.complete:
                return

    def _pass_on(self) -> None:
        if text := self._transcript.unheard():
            self._terms.hear(text)
            # Not before the first piece has been heard, which nothing may delay.
            self._reading.gather_s = min(self._terms.gather_s, self._spec.times.idle * _MOST_OF_A_SILENCE)


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the body as it comes; httpx's own iterators leave an unfinished generator behind when one breaks off."""
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport is not asynchronous")
    return aiter(stream)


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    async for piece in _pieces(response):
        body += piece
        if len(body) >= _MOST_OF_AN_ERROR:
            break
    return body[:_MOST_OF_AN_ERROR]
