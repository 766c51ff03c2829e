"""The dialects of upstream interfaces, each whole in one file."""

from collections.abc import Mapping
from typing import Any, Final

from moa_server.providers.dialect import Dialect
from moa_server.providers.dialects.anthropic import ANTHROPIC
from moa_server.providers.dialects.openai import OPENAI
from moa_server.providers.dialects.responses import RESPONSES

DIALECTS: Final[Mapping[str, Dialect[Any]]] = {"anthropic": ANTHROPIC, "openai": OPENAI, "responses": RESPONSES}
"""By the names that presets give; each is also a provider's name, for any endpoint that speaks it."""

__all__ = ["DIALECTS"]
