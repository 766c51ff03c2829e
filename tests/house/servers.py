"""Servers as an operator starts them: processes on a configuration file, known by their ready line and their log."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

COMMAND = str(Path(sys.executable).with_name("moa-server"))
_PATIENCE_S = 30.0


def write(folder: Path, configuration: dict[str, Any] | str, name: str = "moa.yaml") -> Path:
    """Put a configuration in place at once: whoever watches never sees half of it."""
    new, path = folder / f"{name}.new", folder / name
    new.write_text(configuration if isinstance(configuration, str) else yaml.safe_dump(configuration, sort_keys=False))
    return new.replace(path)


def environment(**extra: str) -> dict[str, str]:
    """That of the tests, less what would send traces somewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | extra


def carried_out(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """`moa-server` with these arguments, once it has ended."""
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment(**extra),
        timeout=_PATIENCE_S,
        check=False,
    )


def refused(path: Path) -> list[str]:
    """The lines with which a server that cannot start ends, having said that it failed."""
    done = carried_out("serve", "--config", str(path))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr.splitlines()


class Server:
    """One `moa-server serve`."""

    def __init__(self, path: Path, *, command: Sequence[str] = (COMMAND,), **extra: str) -> None:
        self.path = path
        self.lines: list[str] = []
        """Everything it has logged so far."""
        self._news = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [*command, "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**extra),
        )
        self._reading = threading.Thread(target=self._read, name="server's log", daemon=True)
        self._reading.start()
        self.target = ""

    def ready(self) -> Self:
        """Wait for the ready line; what was started together can be waited for together."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "\n".join(["it did not start:", *self._end_of_log()])
        self.target = json.loads(line)["ready"]
        return self

    @property
    def port(self) -> int:
        return int(self.target.rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.lines]

    def wait_for_log(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until it has logged this so many times; return the last of them."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [line for line in self.log() if line["event"] == event]
            return len(found) >= times or self._ended

        with self._news:
            self._news.wait_for(is_there, _PATIENCE_S)
        assert len(found) >= times, "\n".join([f"{event} was logged {len(found)} times:", *self.lines])
        return found[times - 1]

    def reload(self, configuration: dict[str, Any] | str) -> None:
        """Give it another configuration, and tell it so."""
        write(self.path.parent, configuration, self.path.name)
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        """Ask it to stop in order; return its exit code, once its log is complete."""
        self.process.terminate()
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit code, once its log is complete."""
        code = self.process.wait(_PATIENCE_S)
        self._reading.join(_PATIENCE_S)
        return code

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.ended()

    def close(self) -> None:
        """Leave nothing of it."""
        self.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _end_of_log(self) -> list[str]:
        self._reading.join(_PATIENCE_S)
        return self.lines[-20:]


Start = Callable[..., Server]
"""Starts a server on a configuration, with these variables in its environment."""


@contextmanager
def starting(folder: Path) -> Iterator[Start]:
    """Start servers that end with the context."""
    with ExitStack() as stack:

        def start(configuration: dict[str, Any], name: str = "moa.yaml", **extra: str) -> Server:
            server = Server(write(folder, configuration, name), **extra)
            stack.callback(server.close)
            return server.ready()

        yield start
