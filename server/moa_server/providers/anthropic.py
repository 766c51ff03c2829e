"""Speaks Messages, the dialect of Anthropic."""

import httpx

from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.providers.anthropic_answer import AnthropicListener
from moa_server.providers.anthropic_options import AnthropicOptions
from moa_server.providers.anthropic_request import anthropic_body
from moa_server.providers.dialect import read_options
from moa_server.providers.exchange import Exchange
from moa_server.providers.heading import Heading
from moa_server.providers.reasoning import ReasoningFilter
from moa_server.providers.transcript import Transcript


class AnthropicModel:
    """One model behind an endpoint that speaks Messages."""

    def __init__(self, spec: ModelSpec, http: httpx.AsyncBaseTransport) -> None:
        self._spec = spec
        self._http = http
        self._options = read_options(AnthropicOptions, spec.dialect)
        self._url = httpx.URL(spec.endpoint.rstrip("/") + self._options.path).copy_merge_params(self._options.query)
        headers = {"anthropic-version": self._options.version, **self._options.headers}
        self._heading = Heading(spec, self._options.key_header, headers)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        body = anthropic_body(self._spec, self._options, prompt)
        request = httpx.Request("POST", self._url, headers=self._heading.headers(), content=body)
        listener = AnthropicListener(self._spec, Transcript(self._spec, prompt, ReasoningFilter(())))
        return await Exchange(self._spec, self._http, terms, listener).carry(request)
