import grpc
import pytest
from google.rpc.status_pb2 import Status

import moa.errors
from moa.status import unpack
from moa.translation import BY_REASON as CLIENT_ERRORS
from moa.v1.error_pb2 import ErrorReason
from moa.v1.run_pb2 import RunFailure
from moa_server.domain.errors import BY_REASON, InvalidRequest, MoaError, ModelError, RunError, Violation
from moa_server.service.codes import CODES, code_of
from moa_server.service.status import DETAILS_KEY, MOST_BYTES, cut, ending_of
from tests.service.refusals import Refusal, unpacked

NAMES = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - no mapping
CALL_ERRORS = {reason: error for reason, error in BY_REASON.items() if not issubclass(error, ModelError)}


def ended(error: MoaError) -> Refusal:
    ending = ending_of(error)
    trailers = dict(ending.trailers)
    packed = trailers[DETAILS_KEY]
    assert isinstance(packed, bytes)
    return unpacked(ending.code, ending.sentence, packed, trailers)


def test_the_errors_of_the_house_are_those_of_the_contract() -> None:
    assert BY_REASON.keys() == NAMES


def test_the_errors_of_the_client_are_those_of_the_house() -> None:
    assert {reason for reason in CLIENT_ERRORS if reason} == NAMES
    for reason, error in BY_REASON.items():
        assert CLIENT_ERRORS[reason].__name__ == error.__name__
        assert [base.__name__ for base in CLIENT_ERRORS[reason].__mro__[1:-1]] == [
            base.__name__ for base in error.__mro__[1:-1]
        ]


def test_the_table_has_every_error_that_can_end_a_call() -> None:
    assert set(CODES) == set(CALL_ERRORS.values())


@pytest.mark.parametrize("reason", CALL_ERRORS)
def test_the_client_reads_each_error_as_it_was_raised(reason: str) -> None:
    error = BY_REASON[reason]("went wrong", metadata={"run_id": "7f3"}, retry_after_s=1.5)
    ending = ending_of(error)
    status = unpack(ending.code, ending.trailers)
    assert (status.reason, status.metadata, status.retry_after) == (reason, {"run_id": "7f3"}, 1.5)
    assert CLIENT_ERRORS[reason].usual_code is ending.code
    assert issubclass(CLIENT_ERRORS[reason], moa.errors.MoaError)


@pytest.mark.parametrize("reason", BY_REASON)
def test_every_error_has_exactly_one_info(reason: str) -> None:
    refused = ended(BY_REASON[reason]("went wrong"))
    assert refused.reason == reason
    assert refused.metadata == {}
    assert refused.retry_s is None
    assert Status.FromString(refused.packed).code == refused.code.value[0]


def test_the_contract_says_the_codes_of_the_table() -> None:
    comments = _comments()
    for reason, error in CALL_ERRORS.items():
        assert code_of(error).name in comments[reason], reason


def _comments() -> dict[str, str]:
    """The comments above the reasons, as the protos have them."""
    from pathlib import Path  # noqa: PLC0415

    found, comment = {}, ""
    proto = Path(__file__).parents[2] / "protos/moa/v1/error.proto"
    for line in proto.read_text().splitlines():
        if line.strip().startswith("//"):
            comment += line
        elif "ERROR_REASON_" in line and "=" in line:
            found[line.split("=")[0].strip().removeprefix("ERROR_REASON_")] = comment
            comment = ""
        else:
            comment = ""
    return found


@pytest.mark.parametrize("letter", ["x", "é", "😀", "\n", "\ud800"])
def test_a_status_stays_small_whatever_it_is_told(letter: str) -> None:
    error = InvalidRequest(
        letter * 10_000,
        metadata={f"{letter * 200}{number}": letter * 10_000 for number in range(200)},
        violations=tuple(Violation(f"{letter * 300}[{number}]", letter * 10_000) for number in range(200)),
        retry_after_s=1e6,
    )
    refused = ended(error)
    assert len(refused.packed) <= MOST_BYTES
    assert refused.reason == "INVALID_REQUEST"
    assert refused.sentence.endswith("…")
    assert int(refused.metadata["more"]) > 0
    assert refused.fields[-1] == "…"


def test_what_does_not_fit_beside_the_reason_is_left_out() -> None:
    error = MoaError("went wrong")
    small, large = RunFailure(partial_text="x"), RunFailure(partial_text="x" * 10_000)
    assert b"RunFailure" in dict(ending_of(error, small).trailers)[DETAILS_KEY]
    assert b"RunFailure" not in dict(ending_of(error, large).trailers)[DETAILS_KEY]


def test_retries_never_repeat_a_run_that_failed() -> None:
    for error in BY_REASON.values():
        pushed = dict(ending_of(error("went wrong")).trailers).get("grpc-retry-pushback-ms")
        assert (pushed == "-1") == issubclass(error, RunError | ModelError)


def test_a_cut_never_splits_a_character() -> None:
    assert cut("short", 10) == "short"
    assert cut("ééééé", 8) == "éé…"
    assert len(cut("😀" * 100, 50).encode()) <= 50


def test_unknown_errors_are_the_servers_own() -> None:
    assert code_of(MoaError) is grpc.StatusCode.INTERNAL
