import pytest

from moa_server.domain.errors import DeadlineExceeded
from moa_server.domain.limits import Limits
from moa_server.service import call as calls
from moa_server.service.call import RpcCall
from moa_server.service.handlers import Handlers
from tests.service.conftest import ask
from tests.service.scripted import ScriptedEngine


class Late:
    """The context of a call whose time was over when it came; gRPC answers most of these itself."""

    def __init__(self, left: float) -> None:
        self._left = left

    def time_remaining(self) -> float:
        return self._left


@pytest.mark.parametrize("left", [0.0, -3.0, 0.0009])
async def test_nothing_is_started_for_a_call_whose_time_is_over(left: float) -> None:
    engine, context = ScriptedEngine(), Late(left)
    calls.enter(RpcCall("moa.v1.MoaService/Query", context))  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded):
        await Handlers(engine, Limits()).Query(ask(), context)  # type: ignore[arg-type]
    assert engine.started == []
