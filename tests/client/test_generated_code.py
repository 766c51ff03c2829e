import pkgutil

import moa.v1
from moa.v1 import moa_service_pb2


def test_every_generated_file_imports_under_its_proto_path() -> None:
    descriptor = moa_service_pb2.DESCRIPTOR
    assert descriptor.name == "moa/v1/moa_service.proto"
    assert {d.name for d in descriptor.dependencies if d.name.startswith("moa/")} <= {
        f"moa/v1/{module.name.removesuffix('_pb2')}.proto" for module in pkgutil.iter_modules(moa.v1.__path__)
    }


def test_the_protos_import_nothing_that_callers_would_have_to_install() -> None:
    files = {moa_service_pb2.DESCRIPTOR.name}
    open_files = [moa_service_pb2.DESCRIPTOR]
    while open_files:
        for needed in open_files.pop().dependencies:
            files.add(needed.name)
            open_files.append(needed)
    assert all(name.startswith(("moa/v1/", "google/protobuf/")) for name in files)


def test_only_the_service_file_has_stubs() -> None:
    stubs = [module.name for module in pkgutil.iter_modules(moa.v1.__path__) if module.name.endswith("_pb2_grpc")]
    assert stubs == ["moa_service_pb2_grpc"]
