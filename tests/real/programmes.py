"""The programmes from elsewhere that the tests run, each in a place of its own that `make check-long` sets up."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

_ENVIRONMENT: Final = Path(sys.prefix)
SDKS: Final = _ENVIRONMENT / "sdks" / "bin" / "python"
LITELLM: Final = _ENVIRONMENT / "litellm" / "bin" / "litellm"
AIMOCK: Final = _ENVIRONMENT / "aimock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_PATIENCE_S: Final = 120.0


def skip_unless(there: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Skip what needs a programme that is not here."""
    if not there:
        pytest.skip(f"{what} is not installed: make check-long installs it")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def serving(*command: str, is_up: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server from when an address of it answers until the end of the block."""
    log = folder / "server.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": "", **(environment or {})},
        ) as process,
    ):
        try:
            _await(lambda: _answers(is_up), process, log)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not ready():
        assert process.poll() is None, f"it ended:\n{log.read_text(errors='replace')[-4000:]}"
        assert time.monotonic() < until, f"it is not ready:\n{log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.1)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


class Sdks:
    """The houses' own SDKs, in a process of their own environment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, task: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Have one of the functions of `sdk_programme` carried out."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": task, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{task} ended the SDKs' process"
        return json.loads(answer)


@contextlib.contextmanager
def sdks() -> Iterator[Sdks]:
    """Run the SDKs' process until the end of the block."""
    skip_unless(SDKS.exists(), "the SDKs of the houses (.ci/pins/sdks.txt)")
    command = [str(SDKS), str(Path(__file__).with_name("sdk_programme.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""}
    ) as process:
        yield Sdks(process)
