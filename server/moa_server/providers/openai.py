"""Speaks chat completions, the dialect of OpenAI and of most other endpoints."""

import httpx

from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.providers.dialect import read_options
from moa_server.providers.exchange import Exchange
from moa_server.providers.heading import Heading
from moa_server.providers.openai_answer import OpenAIListener
from moa_server.providers.openai_options import OpenAIOptions
from moa_server.providers.openai_request import openai_body
from moa_server.providers.reasoning import ReasoningFilter, Tags
from moa_server.providers.transcript import Transcript


class OpenAIModel:
    """One model behind an endpoint that speaks chat completions."""

    def __init__(self, spec: ModelSpec, http: httpx.AsyncBaseTransport) -> None:
        self._spec = spec
        self._http = http
        self._options = read_options(OpenAIOptions, spec.dialect)
        self._url = httpx.URL(spec.endpoint.rstrip("/") + self._options.path).copy_merge_params(self._options.query)
        self._heading = Heading(spec, self._options.key_header, self._options.headers)
        self._tags = tuple(Tags(*pair) for pair in self._options.think_tags)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        body = openai_body(self._spec, self._options, prompt)
        request = httpx.Request("POST", self._url, headers=self._heading.headers(), content=body)
        reasoning = ReasoningFilter(self._tags, begins_inside=self._options.begins_thinking)
        listener = OpenAIListener(self._spec, self._options, Transcript(self._spec, prompt, reasoning))
        return await Exchange(self._spec, self._http, terms, listener).carry(request)
