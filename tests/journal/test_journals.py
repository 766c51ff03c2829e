"""What is asked of every kind of journal, whatever it is."""

import ast
import inspect
from dataclasses import FrozenInstanceError, fields, is_dataclass
from importlib import import_module
from textwrap import dedent
from typing import Any

import pytest

from moa_server.journal import JOURNALS
from moa_server.journal.kind import JournalKind
from tests.journal.contract import JournalContract

kinds = pytest.mark.parametrize("kind", JOURNALS.values(), ids=JOURNALS)


@pytest.mark.parametrize("name", JOURNALS)
def test_the_contract_is_run_on_every_journal(name: str) -> None:
    tests = vars(import_module(f"tests.journal.test_{name}")).values()
    assert [one for one in tests if inspect.isclass(one) and JournalContract in one.__bases__]


@kinds
def test_options_never_change_and_say_under_each_field_what_it_is(kind: JournalKind[Any]) -> None:
    assert is_dataclass(kind.options)
    (body,) = (node.body for node in ast.parse(dedent(inspect.getsource(kind.options))).body if hasattr(node, "body"))
    said = [node for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert len(said) == 1 + len(fields(kind.options)), "the class and each of its fields have their text"
    options = object.__new__(kind.options)
    for field in fields(kind.options):
        with pytest.raises(FrozenInstanceError):
            setattr(options, field.name, None)


def test_options_have_names_of_their_own() -> None:
    assert len({kind.options.__name__ for kind in JOURNALS.values()}) == len(JOURNALS)
