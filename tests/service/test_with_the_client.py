import pytest

import moa
from moa_server.domain.errors import ModelTimeout
from tests.engine.fakes import FakeModel, failing, spec
from tests.service.conftest import Serve


async def test_the_client_is_answered(serve: Serve) -> None:
    served = await serve()
    async with moa.AsyncClient(served.target) as client:
        assert (await client.query("hello")).answer.text == "from boss"
        async with client.synthesize("hello") as stream:
            facts = [event.WhichOneof("fact") async for event in stream]
    assert facts[-1] == "run_succeeded"


async def test_the_client_raises_what_the_server_raised(serve: Serve) -> None:
    models = {"one": FakeModel(spec("one"), failing(ModelTimeout("was silent"))), "boss": FakeModel(spec("boss"))}
    served = await serve(models)
    async with moa.AsyncClient(served.target) as client:
        with pytest.raises(moa.NoProposals) as failed:
            await client.query("hello")
        assert [type(cause) for cause in failed.value.causes] == [moa.ModelTimeout]
        with pytest.raises(moa.InvalidRequest) as refused:
            await client.query("")
    assert refused.value.violations[0].field == "query.messages[0].parts[0].text"
    assert len(models["one"].asked) == 1
