"""Lets the quickest tests run first, so that a mutant is mostly killed in milliseconds. A plug-in of pytest."""

import gc

import pytest
from mutmut.state import state


def pytest_configure() -> None:
    # Pytest collects garbage when it ends, and all that was imported before the fork is none.
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    durations = state().duration_by_test
    items.sort(key=lambda item: durations.get(item.nodeid, 0.0))
