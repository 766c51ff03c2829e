"""Starts what is measured: the server as operators start it, its peers, the upstream and the sink of its traces."""

import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.panel import Panels, configuration, plain
from bench.process import Process, ProcessFailedError, module, running
from moa import AsyncClient


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that is measured, and a caller of it."""

    name: str
    process: Process
    client: AsyncClient


@dataclass(frozen=True, slots=True)
class House(Subject):
    """The server itself, whose every run is traced and logged."""

    sink: Process
    log: Path

    @property
    def lines(self) -> int:
        """How many lines it has logged."""
        return self.log.read_bytes().count(b"\n")


@contextmanager
def upstream() -> Iterator[tuple[Process, str]]:
    """Run the scripted upstream; yield it and its endpoint."""
    with module("bench.upstream") as process:
        yield process, process.read()


@asynccontextmanager
async def house(
    endpoint: str,
    panels: Panels,
    *,
    models: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> AsyncIterator[House]:
    """Run the server with these mixtures, in a folder that goes with it."""
    document = configuration(endpoint, panels, models or {}, limits or {})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "moa.yaml").write_text(json.dumps(document), "utf-8")
        log = stack.enter_context((folder / "log").open("w", encoding="utf-8"))
        sink = stack.enter_context(module("bench.sink"))
        command = (str(Path(sys.executable).with_name("moa-server")), "serve", "--config", str(folder / "moa.yaml"))
        process = stack.enter_context(running("moa-server", command, _telemetry(sink.read()), log))
        async with AsyncClient(_ready(process, folder / "log")) as client:
            yield House("moa", process, client, sink, folder / "log")


@asynccontextmanager
async def peer(name: str, endpoint: str, panels: Panels) -> AsyncIterator[Subject]:
    """Run one of the peers, which answers the same calls for the same panels."""
    with module(f"bench.floor.{name}", endpoint, json.dumps(plain(panels))) as process:
        async with AsyncClient(process.read()) as client:
            yield Subject(name, process, client)


def _telemetry(endpoint: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_SAMPLER": "always_on",
    }


def _ready(process: Process, log: Path) -> str:
    """Return the server's address, which it prints once it listens."""
    try:
        return str(json.loads(process.read())["ready"])
    except ProcessFailedError as error:
        raise ProcessFailedError(f"{error}: {log.read_text('utf-8')[-2000:]}") from None
