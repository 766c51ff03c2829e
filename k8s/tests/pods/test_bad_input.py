"""A pod that lacks something says what, in one line, and waits where waiting is right."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from k8s.tests.pods.fleet import ADDRESSES, SERVER, Fleet, Pod, settings
from k8s.tests.rules.probes import SERVICES


async def refused(file: Path) -> tuple[int, str]:
    """Return the exit code of a server that cannot start, and what it said."""
    process = await asyncio.create_subprocess_exec(
        SERVER, "serve", "--config", file, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def written(folder: Path, **changes: Any) -> Path:  # noqa: ANN401 - plain data of any shape
    file = folder / "moa.yaml"
    document = {**settings("http://127.0.0.1:1/v1", {"memory": {}}), **changes}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


async def test_a_missing_secret_is_named_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "dsn"
    code, said = await refused(written(tmp_path, journal={"postgres": {"dsn": {"file": str(missing)}}}))
    assert code == 1
    assert said.count("\n") == 1
    assert str(missing) in said


async def test_a_configuration_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    code, said = await refused(tmp_path / "none.yaml")
    assert code == 1
    assert said.count("\n") == 1
    assert "none.yaml does not exist" in said


async def test_a_disk_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    code, said = await refused(written(tmp_path, journal={"sqlite": {"path": str(file / "journal.db")}}))
    assert code == 1
    assert said.count("\n") == 1
    assert "journal.db" in said


async def test_a_server_without_its_database_lives_and_is_not_ready(tmp_path: Path, models: str) -> None:
    secret = tmp_path / "dsn"
    secret.write_text("postgresql://moa:secret@127.0.0.1:1/moa", encoding="utf-8")
    fleet = Fleet(tmp_path, models, journal="memory")
    listen = f"{ADDRESSES[0]}:{fleet.port}"
    config = settings(models, {"postgres": {"dsn": {"file": str(secret)}}}) | {"server": {"listen": listen}}
    pod = Pod(ADDRESSES[0], tmp_path, config)
    try:
        await pod.start()
        assert await health(listen) == {
            "startupProbe": HealthCheckResponse.SERVING,
            "livenessProbe": HealthCheckResponse.SERVING,
            "readinessProbe": HealthCheckResponse.NOT_SERVING,
        }
        assert await pod.stop() == 0
    finally:
        await pod.close()


async def health(target: str) -> dict[str, int]:
    """Return what each probe of the manifests would hear."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = HealthStub(channel)  # the stubs of the package leave its methods out
        return {
            probe: (await stub.Check(HealthCheckRequest(service=service), timeout=5)).status
            for probe, service in SERVICES.items()
        }
