"""Secrets by reference: read where they are kept, when they are needed, and never printed."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from moa_server.domain.model import Secret
from moa_server.settings.section import Maybe, Section

_MOST_BYTES = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_RIGHT = "write {env: NAME} or {file: PATH}, and keep the secret there"


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):  # perhaps the secret itself: it is not repeated
        raise ValueError("is not the name of an environment variable; write letters, digits and underscores")
    return name


class SecretSection(Section):
    """Where a secret is kept."""

    env: Maybe[Annotated[str, AfterValidator(_variable)]] = None
    """The environment variable that holds it."""
    file: Maybe[Annotated[str, Field(min_length=1, max_length=4096)]] = None
    """The file that holds it, read again whenever it changes. Relative to the configuration file."""

    @model_validator(mode="before")
    @classmethod
    def _only_a_reference(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        if isinstance(value, cls):
            return value
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
            state = _state(self.path)
            if state not in self._known:
                self._remember(state, self._read())
        except ValueError:
            if not self._known:
                raise
        return next(iter(self._known.values()))

    def _read(self) -> str:
        try:
            with self.path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{self.path} cannot be read; {_RIGHT}") from None
        return _sound(text.strip(), str(self.path))

    def _remember(self, state: tuple[int, ...], value: str) -> None:
        self._known.clear()
        self._known[state] = value


def opened(section: SecretSection, folder: Path) -> Secret:
    """Return the secret that is referred to, having seen that it is there.

    Raises:
        ValueError: it is missing, empty or unfit.
    """
    secret = EnvironmentSecret(section.env) if section.env is not None else FileSecret(folder / (section.file or ""))
    secret.reveal()
    return secret


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        raise ValueError(f"{path} does not exist or cannot be read; {_RIGHT}") from None
    if not path.is_file():
        raise ValueError(f"{path} is not a file; {_RIGHT}")
    return (found.st_mtime_ns, found.st_ino, found.st_dev, found.st_size)


def _sound(value: str, where: str) -> str:
    if not value.strip():
        raise ValueError(f"{where} is missing or empty; put the secret there")
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"{where} holds more than one line of plain characters; put nothing but the secret there")
    return value.strip()
