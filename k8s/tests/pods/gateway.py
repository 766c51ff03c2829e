"""A real Envoy in front of pods, configured the way a gateway's controller would."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any, Self

import yaml

ENVOY = Path(sys.executable).with_name("envoy")
_TYPES = "type.googleapis.com/envoy.extensions"
_ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


class Gateway:
    """Listens on two ports: `trap` with Envoy's own time-outs, `open` with those of our policy."""

    def __init__(self, folder: Path, pods: list[tuple[str, int]]) -> None:
        self._pods = pods
        self._file = folder / "envoy.yaml"
        self._log = folder / "envoy.log"
        self._process: asyncio.subprocess.Process | None = None
        self.trap = ""
        self.open = ""

    async def __aenter__(self) -> Self:
        ports = _free_ports()
        self.trap, self.open = (f"127.0.0.1:{port}" for port in ports)
        listeners = [
            _listener("trap", ports[0], {"cluster": "moa"}),
            _listener("open", ports[1], {"cluster": "moa", "timeout": "0s", "idle_timeout": "60s"}),
        ]
        resources = {"listeners": listeners, "clusters": [self._cluster()]}
        self._file.write_text(yaml.safe_dump({"static_resources": resources}), encoding="utf-8")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                ENVOY,
                "-c",
                self._file,
                "--use-dynamic-base-id",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                stdout=log,
                stderr=log,
            )
        for port in ports:
            await self._listening(port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _listening(self, port: int) -> None:
        """Come back once the port takes connections; the test's own limit ends it."""
        assert self._process is not None
        while self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return
        raise AssertionError(self._log.read_text(encoding="utf-8"))

    def _cluster(self) -> dict[str, Any]:
        endpoints = [
            {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
            for address, port in self._pods
        ]
        return {
            "name": "moa",
            "type": "STATIC",
            "lb_policy": "ROUND_ROBIN",
            "typed_extension_protocol_options": _HTTP2,
            "load_assignment": {"cluster_name": "moa", "endpoints": [{"lb_endpoints": endpoints}]},
        }


def _listener(name: str, port: int, route: dict[str, Any]) -> dict[str, Any]:
    hosts = [{"name": "moa", "domains": ["*"], "routes": [{"match": {"prefix": "/", "grpc": {}}, "route": route}]}]
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [_ROUTER],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def _free_ports() -> list[int]:
    held = [socket.socket() for _ in range(2)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
