"""Reads the configuration file as plain data, and looks at the files that it names."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

from moa_server.settings.plain_yaml import parse
from moa_server.settings.problem import ConfigurationRefused, Problem

MOST_BYTES = 1024 * 1024
_WANTED = "write models, agents and mixtures"


def read(path: Path) -> dict[str, Any]:
    """Return what a file says.

    Raises:
        ConfigurationRefused: it cannot be read, or is no mapping in YAML.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(f"{path} is not a file; name the YAML file itself")
            raw = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise _refused(f"{path} is a directory; name the YAML file in it") from None
    except ValueError:
        raise _refused(f"{str(path)!r} is not a path; name the YAML file") from None
    except OSError as error:
        what = "does not exist" if error.errno == errno.ENOENT else f"cannot be read ({error.strerror})"
        raise _refused(f"{path} {what}; name a YAML file that this process may read") from None
    return parsed(raw)


def parsed(raw: bytes) -> dict[str, Any]:
    """Return what the bytes of a file say.

    Raises:
        ConfigurationRefused: they are no mapping in YAML.
    """
    if len(raw) > MOST_BYTES:
        raise _refused("is larger than 1 MiB; a configuration is a few pages")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(f"is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    data = parse(text)
    if data is None:
        raise _refused(f"is empty; {_WANTED}")
    if not isinstance(data, dict):
        raise _refused(f"is not a mapping of keys to values; {_WANTED}")
    return data


def state_of(path: Path) -> tuple[int, ...]:
    """Return what changes with the content of a file; symbolic links are followed, as of a volume that is swapped.

    Raises:
        OSError, ValueError: there is no such file.
    """
    found = path.stat()
    return (found.st_mtime_ns, found.st_ino, found.st_dev, found.st_size)


def check_readable(path: Path) -> None:
    """Let a file pass that can be read and holds something.

    Raises:
        ValueError: there is none.
    """
    right = "name a file that this process may read"
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except (OSError, ValueError):
        raise ValueError(f"{path} cannot be read; {right}") from None
    if empty:
        raise ValueError(f"{path} is empty; {right}")


def _refused(sentence: str) -> ConfigurationRefused:
    return ConfigurationRefused([Problem((), sentence)])
