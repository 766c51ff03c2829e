"""Uses both clients as a caller's code would; a type checker reads it, nothing runs it."""

from collections.abc import Sequence
from typing import assert_type

from moa import AsyncClient, Client, MoaError
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import QueryResponse
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import Answer, LayerResult, Run


def ask(target: str) -> str:
    with Client(target, timeout=60) as client:
        response = client.query("why", mixture="starter")
        assert_type(response, QueryResponse)
        return response.answer.text


def follow(client: Client) -> Answer:
    with client.synthesize("why", proposal_deltas=True) as stream:
        for event in stream:
            assert_type(event, Event)
        return stream.answer()


def look(client: Client, run_id: str) -> None:
    assert_type(client.layer_result(run_id, 0, wait=5), LayerResult)
    assert_type(client.cancel(run_id), Run)
    assert_type(client.explain("why"), Plan)
    assert_type(client.mixtures(), Sequence[Mixture])


def refuse_a_name_that_is_none(client: Client) -> None:
    client.query("why", mixtrue="starter")  # type: ignore[call-arg]


async def ask_async(target: str) -> str | MoaError:
    async with AsyncClient(target, timeout=60) as client:
        try:
            response = await client.query("why", mixture="starter")
        except MoaError as error:
            return error
        assert_type(response, QueryResponse)
        return response.answer.text


async def follow_async(client: AsyncClient, run_id: str) -> Answer:
    async with client.watch(run_id) as stream:
        async for event in stream:
            assert_type(event, Event)
        return await stream.answer()


async def look_async(client: AsyncClient, run_id: str) -> None:
    assert_type(await client.layer_result(run_id, 0, wait=5), LayerResult)
    assert_type(await client.cancel(run_id), Run)
    assert_type(await client.explain("why"), Plan)
    assert_type(await client.mixtures(), Sequence[Mixture])
