"""Secrets by reference: read where they are kept, when they are needed, and never printed."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from moa_server.domain.model import Secret
from moa_server.settings.document import state_of

_MOST_BYTES = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_RIGHT = "write {env: NAME} or {file: PATH}, and keep the secret there"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is kept."""

    env: str | None = None
    """The environment variable that holds it."""
    file: Path | None = None
    """The file that holds it, read again whenever it changes. Relative to the configuration file."""

    def __post_init__(self) -> None:
        if self.env is not None and not _VARIABLE.fullmatch(self.env):  # perhaps the secret itself: it is not repeated
            raise ValueError("env: is not the name of an environment variable; write letters, digits and underscores")


def only_a_reference(value: object) -> object:
    """Return what stands in the place of a secret, if it can say where the secret is kept.

    Raises:
        ValueError: it cannot; perhaps it is the secret.
    """
    if not isinstance(value, dict):
        raise ValueError(f"a secret is never written into the configuration; {_RIGHT}")  # noqa: TRY004 - pydantic's way
    if len(value.keys() & {"env", "file"}) == len(value) != 1:
        raise ValueError(f"a secret is kept in exactly one place; {_RIGHT}")
    return value


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A secret in an environment variable."""

    name: str

    def reveal(self) -> str:
        """Return the value as it is now.

        Raises:
            ValueError: there is none.
        """
        return _sound(os.environ.get(self.name, ""), f"the environment variable {self.name}")


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A secret in a file, which may be replaced at any time."""

    path: Path
    _known: dict[tuple[int, ...], str] = field(default_factory=dict, repr=False, compare=False)
    """The value by the state of the file it was read in; at most one."""

    def reveal(self) -> str:
        """Return the value as it is now; while the file cannot be read, the value it had.

        Raises:
            ValueError: there has never been one.
        """
        try:
            state = self._state()
            if state not in self._known:
                value = self._read()
                self._known.clear()
                self._known[state] = value
        except ValueError:
            if not self._known:
                raise
        return next(iter(self._known.values()))

    def _state(self) -> tuple[int, ...]:
        try:
            state = state_of(self.path)
        except (OSError, ValueError):
            raise ValueError(f"{self.path} does not exist or cannot be read; {_RIGHT}") from None
        if not self.path.is_file():
            raise ValueError(f"{self.path} is not a file; {_RIGHT}")
        return state

    def _read(self) -> str:
        try:
            with self.path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{self.path} cannot be read; {_RIGHT}") from None
        return _sound(text.strip(), str(self.path))


def referred(reference: SecretReference) -> Secret:
    """Return the secret that is referred to, unread."""
    if reference.env is not None:
        return EnvironmentSecret(reference.env)
    return FileSecret(reference.file or Path())


def _sound(value: str, where: str) -> str:
    if not value.strip():
        raise ValueError(f"{where} is missing or empty; put the secret there")
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"{where} holds more than one line of plain characters; put nothing but the secret there")
    return value.strip()
