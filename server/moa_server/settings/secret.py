"""Secrets by reference: read where they are kept, when they are needed, and never printed."""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from moa_server.domain.model import Secret
from moa_server.domain.quantities import Form, Length, Range
from moa_server.settings.document import state_of

MOST_BYTES: Final = 64 * 1024
"""Of a secret, wherever it comes from."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_RIGHT = "write {env: NAME} or {file: PATH}, and keep the secret there"
_KEY = re.compile(r"[^\s\"'<>{}\\]+", re.ASCII)
"""What a program prints of a key: a page or a document in its place is none."""


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


@dataclass(frozen=True, slots=True)
class KeyReference(SecretReference):
    """Where the key of an endpoint is kept, or what prints it."""

    command: Annotated[tuple[Annotated[str, Length(most=4096)], ...], Length(least=1, most=64)] | None = None
    """The program that prints it, and its arguments; it is run without a shell. A path is relative to the configuration
    file, a name is looked for on the PATH."""
    every_s: Annotated[float, Form.SECONDS, Range(least=60, most=86400)] = 1800.0
    """For how long what was printed is used: less than it is valid for. It is printed anew before, when it is used."""

    def __post_init__(self) -> None:
        SecretReference.__post_init__(self)
        if self.command is not None and (not self.command[0] or any("\0" in part for part in self.command)):
            raise ValueError("command: names no program; write [PROGRAM, ARGUMENT]")


def only_a_reference(kind: type[SecretReference], value: object) -> object:
    """Return what stands in the place of a secret, if it can say where the secret is kept.

    Raises:
        ValueError: it cannot; perhaps it is the secret.
    """
    printed = issubclass(kind, KeyReference)
    right = f"{_RIGHT}, or {{command: [PROGRAM, ARGUMENT], every: 30m}}" if printed else _RIGHT
    if not isinstance(value, dict):
        raise ValueError(f"a secret is never written into the configuration; {right}")  # noqa: TRY004 - pydantic's way
    places = value.keys() & ({"env", "file", "command"} if printed else {"env", "file"})
    strangers = value.keys() - places - ({"every"} if printed else set())
    if not strangers and len(places) != 1:
        raise ValueError(f"a secret is kept in exactly one place; {right}")
    if not strangers and "every" in value and "command" not in value:
        raise ValueError("every goes with a command only; leave it out")
    # What a check before pydantic's own has seen, pydantic takes for Python's values, and no list for a tuple.
    return {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}


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
                text = file.read(MOST_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{self.path} cannot be read; {_RIGHT}") from None
        return _sound(text.strip(), str(self.path))


@dataclass(frozen=True, slots=True)
class CommandSecret:
    """A secret that a program prints. `KeyCommands` runs it, and has what it printed."""

    command: tuple[str, ...]
    every_s: float

    def reveal(self) -> str:
        """Return nothing, since nothing is run here.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.command[0]} is not run")

    def check(self) -> None:
        """Let a program pass that is there.

        Raises:
            ValueError: it is not, or may not be run.
        """
        if shutil.which(self.command[0]) is None:
            raise ValueError(
                f"{self.command[0]} is no program that can be run; install it, or write the path of one that is there"
            )


def referred(reference: SecretReference, folder: Path) -> Secret:
    """Return the secret that is referred to in a file of that folder, unread."""
    if isinstance(reference, KeyReference) and reference.command is not None:
        program, *arguments = reference.command
        if os.sep in program:
            program = str(folder / program)
        return CommandSecret((program, *arguments), reference.every_s)
    if reference.env is not None:
        return EnvironmentSecret(reference.env)
    return FileSecret(reference.file or Path())


def check_kept(secret: Secret) -> None:
    """Let a secret pass that is where it is said to be. No program is run for that.

    Raises:
        ValueError: it is not.
    """
    if isinstance(secret, CommandSecret):
        secret.check()
    else:
        secret.reveal()


def key_in(printed: bytes) -> str:
    """Return the key that a program has printed.

    Raises:
        ValueError: it printed something else.
    """
    try:
        key = printed.decode("ascii").strip()
    except UnicodeDecodeError:
        key = ""
    if not key.isprintable() or not _KEY.fullmatch(key):
        raise ValueError("printed nothing" if not printed.strip() else "printed something that is no key")
    return key


def _sound(value: str, where: str) -> str:
    if not value.strip():
        raise ValueError(f"{where} is missing or empty; put the secret there")
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"{where} holds more than one line of plain characters; put nothing but the secret there")
    return value.strip()
