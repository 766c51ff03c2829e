"""What callers in other languages read from the descriptors."""

from google.protobuf.descriptor_pb2 import MethodOptions

from moa.v1 import deliberation_pb2, error_pb2, event_pb2, moa_service_pb2, plan_pb2, quota_pb2, run_pb2

FILES = [
    module.DESCRIPTOR
    for module in (deliberation_pb2, error_pb2, event_pb2, moa_service_pb2, plan_pb2, quota_pb2, run_pb2)
]
SERVICE = moa_service_pb2.DESCRIPTOR.services_by_name["MoaService"]
UNKNOWN, FREE, IDEMPOTENT = (MethodOptions.IDEMPOTENCY_UNKNOWN, MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)


def test_every_file_names_its_package_in_go_and_in_java() -> None:
    options = [file.GetOptions() for file in FILES]
    told = {(said.go_package, said.java_package, said.java_multiple_files) for said in options}
    assert told == {("moa/v1;moav1", "moa.v1", True)}


def test_every_method_says_what_asking_again_does() -> None:
    told = {method.name: method.GetOptions().idempotency_level for method in SERVICE.methods}
    assert told == {
        "Query": UNKNOWN,  # with a request_id it is idempotent, which a descriptor cannot say
        "Synthesize": UNKNOWN,
        "LayerResult": FREE,
        "WatchRun": FREE,
        "CancelRun": IDEMPOTENT,
        "GetRun": FREE,
        "ListRuns": FREE,
        "RecordOutcome": IDEMPOTENT,
        "ExplainPlan": FREE,
        "ListMixtures": FREE,
        "GetQuota": FREE,
        "GetServerInfo": FREE,
    }
