"""Who calls: encrypted, known by a token or a certificate, and kept apart from the others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from moa import AsyncClient, PermissionDenied, RunNotFound, Tls, Unauthenticated, Unreachable
from tests.client.terminal import run
from tests.house.configurations import Configuration, council
from tests.house.servers import Start
from tests.upstream import UpstreamThread


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.roots = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.roots))

    def issue(self, name: str, identity: str) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        issued = self._ca.issue_cert(identity)
        chain, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        chain.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return chain, key


def known(endpoint: str, **server: Any) -> Configuration:  # noqa: ANN401 - YAML
    callers = {
        "search": {"token": {"env": "SEARCH_TOKEN"}},
        "batch": {"token": {"env": "BATCH_TOKEN"}, "mixtures": ["alone"]},
    }
    return council(endpoint, server={"listen": "localhost:0", "callers": callers, **server})


TOKENS = {"SEARCH_TOKEN": "search-1", "BATCH_TOKEN": "batch-1"}


async def test_callers_are_encrypted_known_and_kept_apart(
    start: Start, upstream: UpstreamThread, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "ca")
    cert, key = authority.issue("server", "localhost")
    server = start(known(upstream.endpoint, tls={"cert": cert.name, "key": key.name}), **TOKENS)
    tls = Tls(roots=authority.roots)
    async with (
        AsyncClient(server.target, token="search-1", tls=tls, timeout=20) as search,
        AsyncClient(server.target, token="batch-1", tls=tls, timeout=20) as batch,
        AsyncClient(server.target, token="search-2", tls=tls, timeout=20) as stranger,
        AsyncClient(server.target, tls=tls, timeout=20) as nobody,
        AsyncClient(server.target, token="search-1", timeout=20) as plain,
    ):
        response = await search.query("Why?", mixture="council", request_id="r-1")
        assert response.answer.text == "the answer"
        await _check_kept_apart(batch, response.run.run_id)
        await _check_permission(batch)
        for client in (stranger, nobody):
            with pytest.raises(Unauthenticated):
                await client.mixtures()
        with pytest.raises(Unreachable):
            await plain.mixtures()
    (tmp_path / "token").write_text("search-1\n")
    proof = ("--ca", str(authority.roots), "--token-file", str(tmp_path / "token"))
    done = await asyncio.to_thread(run, "ask", "Why?", *proof, "--target", server.target)
    assert (done.returncode, done.stdout) == (0, "the answer\n")


async def _check_kept_apart(other: AsyncClient, run_id: str) -> None:
    """Another caller's run is as if it were not there."""
    for asking in (
        other.layer_result(run_id, 0),
        other.cancel(run_id),
        other.cancel(request_id="r-1"),
        other.watch(run_id).answer(),
        other.watch(request_id="r-1").answer(),
    ):
        with pytest.raises(RunNotFound):
            await asking
    own = await other.query("Why?", mixture="alone", request_id="r-1")
    assert own.run.run_id != run_id


async def _check_permission(limited: AsyncClient) -> None:
    assert [mixture.name for mixture in await limited.mixtures()] == ["alone"]
    with pytest.raises(PermissionDenied) as denied:
        await limited.query("Why?", mixture="council")
    assert denied.value.metadata["mixture"] == "council"
    with pytest.raises(PermissionDenied):
        await limited.explain("Why?", mixture="council")


async def test_callers_are_known_by_their_certificates(start: Start, upstream: UpstreamThread, tmp_path: Path) -> None:
    authority, callers, strangers = (Authority(tmp_path, name) for name in ("ca", "callers", "strangers"))
    cert, key = authority.issue("server", "localhost")
    tls = {"cert": cert.name, "key": key.name, "client_ca": callers.roots.name}
    server = start(known(upstream.endpoint, tls=tls), **TOKENS)

    def proving(by: Authority | None, name: str) -> AsyncClient:
        chain, own = by.issue(name, name) if by else (None, None)
        return AsyncClient(server.target, tls=Tls(authority.roots, chain, own), timeout=20)

    async with proving(callers, "search") as search, proving(callers, "batch") as batch:
        response = await search.query("Why?", mixture="council")
        assert response.answer.text == "the answer"
        assert [mixture.name for mixture in await batch.mixtures()] == ["alone"]
        with pytest.raises(RunNotFound):
            await batch.layer_result(response.run.run_id, 0)
    async with proving(callers, "unknown") as unknown:
        with pytest.raises(Unauthenticated):
            await unknown.mixtures()
    for by in (strangers, None):
        async with proving(by, "search") as refused:
            with pytest.raises(Unreachable):
                await refused.mixtures()
