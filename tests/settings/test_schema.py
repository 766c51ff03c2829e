import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from moa_server.settings import Settings, json_schema, load
from moa_server.settings.derived import Kind, MarkedType, SectionKey, in_the_file, keys_of, shape_of
from moa_server.settings.document import read
from moa_server.settings.file import file_section
from moa_server.settings.validation import read_section
from moa_server.strategies import STRATEGIES
from tests.settings.tiny import CHOICES, plain

REFERENCE = Path(__file__).parents[2] / "server" / "examples" / "reference.yaml"
SCHEMA = json_schema(CHOICES)
FILE = file_section(tuple(CHOICES.journals.items()))


def problems(data: object) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(data)]


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reference beside the files it names."""
    for name in ("LARGE_API_KEY", "BATCH_TOKEN"):
        monkeypatch.setenv(name, name)
    files = (
        "secrets/elsewhere",
        "secrets/search",
        "secrets/keys",
        "tls/cert.pem",
        "tls/key.pem",
        "tls/callers.pem",
        "large/tokenizer.json",
    )
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    copy = tmp_path / "moa.yaml"
    copy.write_bytes(REFERENCE.read_bytes())
    return copy


def loaded_reference(path: Path) -> Settings:
    choices = dataclasses.replace(CHOICES, strategies={**CHOICES.strategies, **STRATEGIES})
    return load(path, choices)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_reference_satisfies_the_schema_and_loads(reference: Path) -> None:
    assert problems(read(reference)) == []
    assert list(loaded_reference(reference).mixtures) == ["panel", "deep"]


def test_the_reference_shows_every_key() -> None:
    shown = {(kind, key.name) for kind, key, _ in said(MarkedType(FILE), read(REFERENCE))}
    hidden = {
        f"{kind.__name__}.{key.name}"
        for kind in every_section(MarkedType(FILE))
        if kind is not CHOICES.journals["postgres"]
        for key in keys_of(kind)
        if (kind, key.name) not in shown
    }
    assert hidden == {"JournalSection.memory", "JournalSection.postgres"}


def said(marked: MarkedType, data: object) -> Iterator[tuple[Kind, SectionKey, object]]:
    """Every key that plain data says, with its section."""
    form = next((form for form in marked.forms if form.shape == shape_of(data)), marked)
    if dataclasses.is_dataclass(form.bare) and isinstance(data, dict):
        for key in keys_of(form.bare):
            if key.name in data:
                yield form.bare, key, data[key.name]
                yield from said(key.type, data[key.name])
    elif form.origin in {Mapping, tuple}:
        for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
            yield from said(form.parts[-1], part)


def every_section(marked: MarkedType) -> Iterator[Kind]:
    """The dataclasses that sections are made of."""
    if dataclasses.is_dataclass(marked.bare):
        yield marked.bare
        for key in keys_of(marked.bare):
            yield from every_section(key.type)
    for part in marked.parts:
        yield from every_section(part)


@pytest.mark.parametrize("kind", sorted(set(every_section(MarkedType(FILE))), key=str), ids=lambda kind: kind.__name__)
def test_every_key_is_described(kind: type) -> None:
    assert kind.__doc__
    assert [key.name for key in keys_of(kind) if not key.text] == []


def test_the_reference_tells_the_defaults_of_the_dataclasses() -> None:
    """It shows the default, or a likely value with the default in the comment beside it."""
    written = re.findall(r"^ *(\w+): .*# .*default ([^\s,;]+)", REFERENCE.read_text(), re.MULTILINE)
    told = {(name, yaml.safe_load(value)) for name, value in written}
    assert len(told) == len(written) > 8
    plain_keys = [
        (key, value)
        for _, key, value in said(MarkedType(FILE), read(REFERENCE))
        if isinstance(key.default, bool | int | float | str) and key.default != ""
    ]
    shown = {key for key, value in plain_keys if as_read(key, value) == key.default}
    assert {key.name for key, _ in plain_keys if key not in shown} == {name for name, _ in told}
    for key, _ in plain_keys:
        if key not in shown:
            assert (key.name, in_the_file(key.type, key.default)) in told


def as_read(key: SectionKey, value: object) -> object:
    section = dataclasses.make_dataclass("Alone", [(key.path[-1], Annotated[key.type.bare, *key.type.marks, None])])
    read_value, problems = read_section(section, {key.name: value})
    assert problems == []
    return getattr(read_value, key.path[-1])


def test_defaults_are_visible() -> None:
    parts = SCHEMA["$defs"]
    assert parts["ModelSpec"]["properties"]["window"]["default"] == 8192
    assert parts["TimeLimits"]["properties"]["idle"]["default"] == 30.0


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
