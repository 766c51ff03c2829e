"""Enters every physical call in the account before it is made, and closes it whatever becomes of it."""

import asyncio
from dataclasses import replace
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from moa_server.domain import errors, tokens
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, OpenAttempt
from moa_server.domain.usage import Certainty, Usage
from moa_server.models.wrapper import Wrapper
from moa_server.telemetry import names

_tracer = trace.get_tracer("moa_server.models")

_NOTHING_USED: Final = (
    errors.ModelUnreachable,
    errors.ModelCredentialsRefused,
    errors.ModelUnknown,
    errors.ModelThrottled,
    errors.ModelQuotaExhausted,
    errors.ModelRejectedRequest,
    errors.ModelWindowExceeded,
)
"""Failures after which the model itself cannot have read the prompt."""
_GATEWAY_STATUSES: Final = ("502", "504", "524")
"""Said by somebody before the endpoint, who cannot know what the model did."""


class Accounted(Wrapper):
    """A provider whose every call is in the account and in the trace. It stands directly around the provider."""

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        entry = terms.account.open(self.spec, terms.kind, prompt)
        with _tracer.start_as_current_span(
            names.chat_span(self.spec.upstream_model),
            kind=SpanKind.CLIENT,
            attributes=self._attributes(prompt, terms),
            record_exception=False,  # its text and trace may quote the prompt
            set_status_on_exception=False,
        ) as span:
            call = _Call(self.spec, prompt, terms, entry, span)
            try:
                reply = await self._model.speak(prompt, replace(terms, hear=call.hear))
                call.succeeded(reply)
                return reply
            except errors.ModelError as error:
                call.failed(error)
                raise
            except asyncio.CancelledError:
                # What it used is charged all the same: the endpoint may go on until it sees the connection closed.
                call.failed(terms.why_cut() or errors.StragglerCut(f"the call of {self.spec.name} was cancelled"))
                raise
            finally:
                # Changes nothing of a call that is closed. Left open, its reservation would never be given back.
                call.failed(
                    errors.ModelProtocolBroken(f"the call of {self.spec.name} ended in a fault of the server's own")
                )

    def _attributes(self, prompt: Prompt, terms: CallTerms) -> dict[str, str | int | float]:
        attributes: dict[str, str | int | float] = {
            names.OPERATION_NAME: names.CHAT,
            names.PROVIDER_NAME: self.spec.provider,
            names.MODEL: self.spec.name,
            names.REQUEST_MODEL: self.spec.upstream_model,
            names.ATTEMPT_KIND: terms.kind.value,
        }
        sent = prompt.as_sent().sampling
        if sent.max_tokens is not None:
            attributes[names.REQUEST_MAX_TOKENS] = sent.max_tokens
        if sent.temperature is not None:
            attributes[names.REQUEST_TEMPERATURE] = sent.temperature
        return attributes


class _Call:
    """One physical call under way: what it was sent, what was heard of it, and where that is written down."""

    def __init__(self, spec: ModelSpec, prompt: Prompt, terms: CallTerms, entry: OpenAttempt, span: Span) -> None:
        self._spec = spec
        self._prompt = prompt
        self._hear = terms.hear
        self._entry = entry
        self._span = span
        self._heard: list[str] = []
        self._closed = False

    def hear(self, text: str) -> None:
        if not self._heard:
            self._entry.first_token()
        self._heard.append(text)
        self._hear(text)

    def succeeded(self, reply: Reply) -> None:
        self._closed = True
        self._entry.close(reply.usage, served_model=reply.served_model)
        self._trace(reply.usage)
        self._span.set_attribute(names.RESPONSE_MODEL, reply.served_model)
        self._span.set_attribute(names.FINISH_REASONS, (reply.finish_reason.value,))

    def failed(self, error: errors.ModelError) -> None:
        """Close it as failed, unless it is closed."""
        if self._closed:
            return
        self._closed = True
        usage = self._used(error)
        self._entry.close(usage, failure=error)
        self._trace(usage)
        self._span.set_attribute(names.ERROR_TYPE, error.reason())
        self._span.set_status(Status(StatusCode.ERROR))

    def _used(self, error: errors.ModelError) -> Usage:
        """Return what a failed call used: as the endpoint said, or by what was sent and heard."""
        if error.usage is not None:
            return error.usage
        if not self._heard and _turned_away(error):
            return Usage()
        most = self._prompt.most_output(self._spec)
        return Usage(
            input_tokens=self._prompt.tokens(self._spec),
            output_tokens=min(tokens.of_text("".join(self._heard), self._spec.counted_by), most),
            certainty=Certainty.ESTIMATED,
        )

    def _trace(self, usage: Usage) -> None:
        self._span.set_attributes(
            {
                names.INPUT_TOKENS: usage.input_tokens,
                names.OUTPUT_TOKENS: usage.output_tokens,
                names.CACHED_INPUT_TOKENS: usage.cached_input_tokens,
                names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
                names.REASONING_TOKENS: usage.reasoning_tokens,
                names.USAGE_CERTAINTY: usage.certainty.name.lower(),
            }
        )


def _turned_away(error: errors.ModelError) -> bool:
    """Tell whether a call ended before any model worked on it, so that nobody is billed for it."""
    if isinstance(error, errors.ModelUnavailable):
        status = error.metadata.get("status")
        return status is not None and status not in _GATEWAY_STATUSES
    return isinstance(error, _NOTHING_USED)
