"""Counts tokens by the file of a model's own tokenizer, for those who install the extra ``tokenizers``."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

from moa_server.domain.tokens import Remembered

_SEAM: Final = 2
"""For what a template before a text and the cut after it may part in two."""
_REMEMBERED: Final = 1024


class TokenizerFile:
    """One model's tokenizer. What was counted lately is not counted again."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - a class of the extra
        self._tokenizer = tokenizer
        self._remembered = Remembered(self._count, _REMEMBERED)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a tokenizer.json.

        Raises:
            ValueError: it is none, or the extra is not installed.
        """
        try:
            library = import_module("tokenizers")
        except ImportError:
            raise ValueError("needs the extra: install moa-server[tokenizers], or leave it out") from None
        try:
            tokenizer = library.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises no class of its own
            raise ValueError(f"{path} is no tokenizer.json that can be read: {error}; name one") from None
        # A text that looks like a control token is sent as text, or it is fewer tokens.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    def count(self, text: str) -> int:
        """Return the most tokens of a text."""
        return self._remembered.count(text)

    def _count(self, text: str) -> int:
        # A half character, which some models write, has no encoding.
        whole = text.encode(errors="replace").decode()
        return len(self._tokenizer.encode(whole, add_special_tokens=False).ids) + _SEAM
