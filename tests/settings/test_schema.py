import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from moa_server.settings import Settings, json_schema, load
from moa_server.settings.document import read
from moa_server.settings.file_section import FileSection
from moa_server.settings.section import Section
from moa_server.settings.server_section import MemorySection, PostgresSection
from moa_server.strategies import STRATEGIES
from tests.settings.tiny import CATALOGUE, plain

REFERENCE = Path(__file__).parents[2] / "server" / "examples" / "reference.yaml"
SCHEMA = json_schema(CATALOGUE)


def problems(data: object) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(data)]


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reference beside the files it names."""
    for name in ("LARGE_API_KEY", "BATCH_TOKEN"):
        monkeypatch.setenv(name, name)
    files = ("secrets/elsewhere", "secrets/search", "secrets/keys", "tls/cert.pem", "tls/key.pem", "tls/callers.pem")
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    copy = tmp_path / "moa.yaml"
    copy.write_bytes(REFERENCE.read_bytes())
    return copy


def loaded_reference(path: Path) -> Settings:
    catalogue = type(CATALOGUE)(CATALOGUE.providers, {**CATALOGUE.strategies, **STRATEGIES}, frozenset({"sqlite"}))
    return load(path, catalogue)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_reference_satisfies_the_schema_and_loads(reference: Path) -> None:
    assert problems(read(reference)) == []
    assert list(loaded_reference(reference).mixtures) == ["panel", "deep"]


def test_the_reference_shows_every_key(reference: Path) -> None:
    file = FileSection.model_validate_json(json.dumps(read(reference)))
    shown: dict[type[Section], set[str]] = {}
    for section in sections(file):
        shown.setdefault(type(section), set()).update(section.model_fields_set)
    journals = {MemorySection, PostgresSection}
    hidden = {
        f"{kind.__name__}.{name}"
        for kind in every_section()
        if kind not in journals
        for name in set(kind.model_fields) - shown.get(kind, set())
    }
    assert hidden == {"JournalSection.memory", "JournalSection.postgres"}


def every_section() -> list[type[Section]]:
    return [kind for kind in Section.__subclasses__() if kind.__module__.endswith("_section")]


def sections(value: object) -> Iterator[Section]:
    if isinstance(value, Section):
        yield value
        value = {name: getattr(value, name) for name in type(value).model_fields}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    for part in inner:
        yield from sections(part)


@pytest.mark.parametrize("kind", every_section(), ids=lambda kind: kind.__name__)
def test_every_field_is_described(kind: type[BaseModel]) -> None:
    assert kind.__doc__
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_defaults_are_visible() -> None:
    parts = SCHEMA["$defs"]
    assert parts["ModelSection"]["properties"]["window"]["default"] == 8192
    assert parts["TimesSection"]["properties"]["idle"]["default"] == 30.0


@pytest.mark.parametrize(
    ("options", "sound"), [({"mood": "wild", "steps": [1, 2]}, True), ({"moood": "x"}, False), ({"keep": "3"}, False)]
)
def test_the_options_of_a_strategy_are_checked(options: dict[str, Any], *, sound: bool) -> None:
    data = plain()
    data["mixtures"]["pair"]["options"] = options
    assert (problems(data) == []) is sound


def test_the_options_of_a_strategy_are_described() -> None:
    assert SCHEMA["$defs"]["Options_aggregate"]["properties"]["mood"]["description"] == "How it feels."


@pytest.mark.parametrize(
    "change",
    [
        {"mixtrues": {}},
        {"models": {"small": {"provider": "nobody"}}},
        {"models": {"small": {"provider": "local", "api_key": "sk-1"}}},
        {"models": {"small": {"provider": "local", "times": {"idle": "5 parsecs"}}}},
        {"server": None},
    ],
)
def test_what_is_refused_at_start_is_marked_in_an_editor(change: dict[str, Any]) -> None:
    assert problems(plain() | change) != []


@pytest.mark.parametrize("value", [5, 0.5, "500ms", "5s", "2m", "1.5 h"])
def test_durations_may_be_numbers_or_texts(value: object) -> None:
    data = plain()
    data["models"]["small"]["times"] = {"idle": value}
    assert problems(data) == []
