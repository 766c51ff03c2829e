"""How a channel is opened, and what a call carries."""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace

import moa
from moa.channel import OPTIONS, full_target
from moa.terms import Terms
from moa.testing import FakeMoa
from tests.client.certificate import self_signed
from tests.client.either import Either


@pytest.mark.parametrize(
    ("target", "full"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        ("moa.models.svc:50051", "dns:///moa.models.svc:50051"),
        ("[::1]:50051", "dns:///[::1]:50051"),
        ("dns:moa:50051", "dns:moa:50051"),
        ("dns:///moa:50051", "dns:///moa:50051"),
        ("unix:/run/moa.sock", "unix:/run/moa.sock"),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", "ipv4:127.0.0.1:1,127.0.0.2:1"),
    ],
)
def test_a_bare_address_is_resolved_to_all_its_addresses(target: str, full: str) -> None:
    assert full_target(target) == full


def test_the_service_config_holds_no_timeout() -> None:
    config = dict(OPTIONS)["grpc.service_config"]
    assert "timeout" not in str(config)
    assert json.loads(str(config))["loadBalancingConfig"] == [{"round_robin": {}}]


async def test_a_request_above_the_default_buffer_is_sent_again(client: Either, fake: FakeMoa) -> None:
    fake.refuses(_again())
    await client.call("query", "x" * 1_000_000)
    assert [call.method for call in fake.calls] == ["Query", "Query"]
    assert fake.calls[0].request == fake.calls[1].request


def _again() -> moa.MoaError:
    return moa.ShuttingDown("stopping", moa.Status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.0))


async def test_calls_are_spread_over_all_addresses() -> None:
    with FakeMoa() as one, FakeMoa() as two:
        target = f"ipv4:{one.target},{two.target}"
        async with moa.AsyncClient(target, timeout=20) as client:
            while not (one.calls and two.calls):
                await client.mixtures()


def test_tls_is_spoken_when_it_is_asked_for(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "moa.test")
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        tls = moa.Tls(roots=certificate, server_name="moa.test")
        with moa.Client(f"127.0.0.1:{port}", tls=tls, timeout=20) as client, pytest.raises(moa.NotOffered):
            client.mixtures()  # the server has no such service: it was reached
        wrong = moa.Tls(roots=certificate, server_name="other.test")
        with moa.Client(f"127.0.0.1:{port}", tls=wrong, timeout=20) as client, pytest.raises(moa.Unreachable):
            client.mixtures()
    finally:
        server.stop(None).wait()


async def test_the_callers_trace_travels(client: Either, fake: FakeMoa) -> None:
    here = trace.SpanContext(trace_id=0x4BF9, span_id=0x7F3, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(here)):
        await client.call("mixtures")
    assert fake.calls[0].metadata["traceparent"] == f"00-{0x4BF9:032x}-{0x7F3:016x}-01"


def test_without_open_telemetry_nothing_is_missing(fake: FakeMoa) -> None:
    hidden = "import sys; sys.modules['opentelemetry'] = None; sys.modules['rich'] = None\n"
    asks = f"import moa, moa.cli; print(moa.Client({fake.target!r}).query('hi').answer.text)"
    done = subprocess.run([sys.executable, "-c", hidden + asks], capture_output=True, text=True, check=False)
    assert done.stdout == "an answer\n"
    assert "traceparent" not in fake.calls[0].metadata


def test_a_call_without_its_own_time_limit_takes_the_clients() -> None:
    assert Terms(timeout=3.0).limit(None) == 3.0
    assert Terms(timeout=3.0).limit(1.0) == 1.0
    assert Terms(timeout=None).limit(None) is None


async def test_a_client_over_a_channel_leaves_it_open(fake: FakeMoa) -> None:
    async with grpc.aio.insecure_channel(fake.target) as channel:
        for _ in range(2):
            async with moa.AsyncClient(channel) as client:
                assert (await client.query("hi")).answer.text == "an answer"


def test_an_async_client_can_be_made_before_its_event_loop(fake: FakeMoa) -> None:
    client = fake.async_client()

    async def ask() -> str:
        async with client:
            return (await client.query("hi")).answer.text

    assert asyncio.run(ask()) == "an answer"
