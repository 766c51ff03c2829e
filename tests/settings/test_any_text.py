"""Whatever stands in a file, it is read or refused."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moa_server.settings import ConfigurationRefused
from moa_server.settings.document import parsed
from moa_server.settings.load import settings_of
from moa_server.settings.plain_yaml import parse
from tests.settings.tiny import CHOICES, plain

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MARKS = st.sampled_from(
    [*"{}[]:,-?!&*#|>%@`'\"\n\t <~", "\\", "0x", "!!int ", "&a ", "*a", "<<: ", "---\n", "models: "]
)
KEYS = st.sampled_from(
    [
        "models",
        "agents",
        "mixtures",
        "limits",
        "server",
        "small",
        "one",
        "pair",
        "api_key",
        "env",
        "file",
        "window",
        "price",
        "input",
        "times",
        "idle",
        "layers",
        "repeat",
        "options",
        "keep",
        "steps",
        "rules",
        "quorum",
        "budget",
        "usd",
        "allow",
        "tls",
        "callers",
        "token",
        "journal",
        "memory",
        "concurrency",
        "limit",
        "<text>",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["one", "small", "5s", "1MiB", "local", "aggregate", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def attempt(raw: bytes) -> None:
    with suppress(ConfigurationRefused):
        settings_of(parsed(raw), Path("/nowhere"), CHOICES)


@given(st.binary(max_size=200))
@settings(UNHURRIED)
def test_any_bytes(raw: bytes) -> None:
    attempt(raw)


@given(st.lists(MARKS | st.text(max_size=4), max_size=30).map("".join))
@settings(UNHURRIED, max_examples=200)
def test_any_text(text: str) -> None:
    attempt(text.encode(errors="surrogatepass"))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
@settings(UNHURRIED, max_examples=200)
def test_any_data(data: dict[str, Any]) -> None:
    attempt(yaml.safe_dump(data, allow_unicode=True).encode(errors="surrogatepass"))


@given(st.data())
@settings(UNHURRIED, max_examples=300)
def test_a_sound_configuration_with_one_value_replaced(data: st.DataObject) -> None:
    sound = plain()
    section: dict[str, Any] = sound
    for _ in range(data.draw(st.integers(0, 3))):
        below = [value for value in section.values() if isinstance(value, dict)]
        section = data.draw(st.sampled_from(below)) if below else section
    section[data.draw(KEYS | st.sampled_from(sorted(section)))] = data.draw(VALUES)
    attempt(yaml.safe_dump(sound).encode())


@given(VALUES)
@settings(UNHURRIED, max_examples=200)
def test_what_yaml_writes_is_read_as_it_was(value: object) -> None:
    try:
        found = parse(yaml.safe_dump(value))
    except ConfigurationRefused:
        return
    if isinstance(value, bool | str):
        assert found == value
