"""Keeps texts at rest from those who can read the store: with AES-GCM, under keys from a file."""

import os
from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from moa_server.journal.store_errors import JournalCorrupted, JournalSealed

_SEALED = b"\xc1"
"""How a sealed record begins, and no other does."""

_KEY_BYTES = 32
_NAME_BYTES = 4
_NONCE_BYTES = 12


class Seal(Protocol):
    """What keeps texts from those who can read the store."""

    def seal(self, data: bytes) -> bytes: ...

    def open(self, data: bytes) -> bytes: ...


class Unsealed:
    """Leaves everything as it is."""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        if data.startswith(_SEALED):
            raise JournalSealed("a record is sealed, and this server has no key file")
        return data


class AesSeal:
    """Seals with the first of its keys and opens with any of them, so that keys can be changed while records live on.

    Records written before sealing was switched on are read as they are.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {sha256(key).digest()[:_NAME_BYTES]: AESGCM(key) for key in keys}
        self._newest = next(iter(self._keys))

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read keys, 32 bytes each in base64, one a line, the newest first.

        Raises:
            ValueError: the file holds no such keys.
        """
        return cls([_key(line, path) for line in path.read_text().split()] or [_key("", path)])

    def seal(self, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        # The head is authenticated too, so that a record cannot be passed off as one under another key.
        head = _SEALED + self._newest
        return head + nonce + self._keys[self._newest].encrypt(nonce, data, head)

    def open(self, data: bytes) -> bytes:
        if not data.startswith(_SEALED):
            return data
        head, rest = data[: len(_SEALED) + _NAME_BYTES], data[len(_SEALED) + _NAME_BYTES :]
        key = self._keys.get(head[len(_SEALED) :])
        if key is None:
            raise JournalSealed(
                f"a record is sealed with key {head[len(_SEALED) :].hex()}, which is not in the key file"
            )
        try:
            return key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head)
        except (InvalidTag, ValueError) as error:
            raise JournalCorrupted("a sealed record has been changed") from error


def _key(line: str, path: Path) -> bytes:
    try:
        key = b64decode(line, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path} must hold keys of {_KEY_BYTES} bytes in base64, one a line")
    return key
