"""Writes the headers of a question: the key as it is now, and the trace it belongs to."""

from collections.abc import Mapping

import httpx
from opentelemetry import propagate

from moa_server.domain.errors import ModelCredentialsRefused
from moa_server.domain.model import ModelSpec

_ALWAYS = {
    "content-type": "application/json",
    "accept": "text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "moa",
}


class Heading:
    """The headers of one model's questions."""

    def __init__(self, spec: ModelSpec, key_header: str, more: Mapping[str, str]) -> None:
        self._spec = spec
        self._key_header = key_header
        self._fixed = httpx.Headers({**_ALWAYS, **more})

    def headers(self) -> httpx.Headers:
        """Return the headers of the next question.

        Raises:
            ModelCredentialsRefused: there is no key that could be sent.
        """
        headers = self._fixed.copy()
        if self._spec.api_key is not None:
            key = self._key()
            headers[self._key_header] = f"Bearer {key}" if self._key_header.lower() == "authorization" else key
        trace: dict[str, str] = {}
        propagate.inject(trace)
        headers.update(trace)
        return headers

    def _key(self) -> str:
        if self._spec.api_key is None:
            return ""
        try:
            key = self._spec.api_key.reveal()
        except (OSError, ValueError, LookupError) as error:
            raise ModelCredentialsRefused(f"the key of {self._spec.name} cannot be read") from error
        if not key or not key.isascii() or not key.isprintable():
            raise ModelCredentialsRefused(f"the key of {self._spec.name} cannot be sent in a header")
        return key
