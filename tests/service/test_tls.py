from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa_server.domain.operation import Listening, Tls
from moa_server.service.certificates import CertificateRefused
from tests.service.conftest import NO_GRACE, Serve, Served, ask
from tests.service.refusals import refusal
from tests.service.scripted import ScriptedEngine, cut

if TYPE_CHECKING:
    from moa.v1.moa_service_pb2_grpc import MoaServiceAsyncStub


class Authority:
    """Signs certificates into files."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.files = Tls(folder / "tls.crt", folder / "tls.key")
        self.roots = self.ca.cert_pem.bytes()

    def issue(self) -> None:
        issued = self.ca.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(self.files.key))
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        self.files.cert.write_bytes(chain)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.issue()
    return made


def listening(files: Tls) -> Listening:
    return replace(NO_GRACE, listen="localhost:0", tls=files)


@asynccontextmanager
async def connected(
    served: Served, roots: bytes, key: bytes | None = None, chain: bytes | None = None
) -> AsyncIterator["MoaServiceAsyncStub"]:
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    # A channel of its own for each: gRPC shares connections between channels that look alike.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{served.serving.port}", credentials, options=options) as channel:
        yield MoaServiceStub(channel)


async def test_calls_are_encrypted(serve: Serve, authority: Authority) -> None:
    served = await serve(listening=listening(authority.files))
    async with connected(served, authority.roots) as stub:
        assert (await stub.Query(ask())).answer.text == "from boss"


async def test_a_caller_that_does_not_trust_the_certificate_gets_nothing(serve: Serve, authority: Authority) -> None:
    served = await serve(listening=listening(authority.files))
    async with connected(served, trustme.CA().cert_pem.bytes()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Query(ask())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_counts_from_the_next_connection_on(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    served = await serve(listening=listening(authority.files))
    renewed = Authority(tmp_path)
    async with connected(served, authority.roots) as old:
        await old.Query(ask())
        renewed.issue()
        await old.Query(ask())
        async with connected(served, renewed.roots) as new:
            await new.Query(ask())
        async with connected(served, authority.roots) as late:
            with pytest.raises(grpc.aio.AioRpcError):
                await late.Query(ask())


async def test_a_certificate_that_is_half_replaced_is_not_taken(serve: Serve, authority: Authority) -> None:
    served = await serve(listening=listening(authority.files))
    authority.files.key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    async with connected(served, authority.roots) as stub:
        assert (await stub.Query(ask())).answer.text == "from boss"
    authority.files.key.unlink()
    async with connected(served, authority.roots) as stub:
        assert (await stub.Query(ask())).answer.text == "from boss"


@pytest.mark.parametrize("content", [b"", b"nonsense"])
async def test_a_certificate_that_is_none_stops_the_start(serve: Serve, authority: Authority, content: bytes) -> None:
    authority.files.cert.write_bytes(content)
    with pytest.raises(CertificateRefused, match=r"tls\.crt"):
        await serve(listening=listening(authority.files))


async def test_a_callers_certificate_tells_who_it_is(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.roots)
    engine = ScriptedEngine(cut)
    served = await serve(engine=engine, listening=listening(replace(authority.files, client_ca=ca)))
    own = authority.ca.issue_cert("billing.example", common_name="someone")
    chain = b"".join(each.bytes() for each in own.cert_chain_pems)
    async with connected(served, authority.roots, own.private_key_pem.bytes(), chain) as stub:
        await refusal(stub.Query(ask()))
    ((_, ticket, _),) = engine.started
    assert ticket.caller == "billing.example"


async def test_a_caller_without_a_certificate_is_refused_where_one_is_needed(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.roots)
    served = await serve(listening=listening(replace(authority.files, client_ca=ca)))
    stranger = trustme.CA().issue_cert("billing.example")
    chain = b"".join(each.bytes() for each in stranger.cert_chain_pems)
    for key, own in ((None, None), (stranger.private_key_pem.bytes(), chain)):
        async with connected(served, authority.roots, key, own) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Query(ask())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
