import os
from pathlib import Path

import pytest

from moa_server.settings import ConfigurationRefused, load
from tests.settings.tiny import CHOICES, loaded, plain, refused

SOUND = """
models: {small: &small {provider: local}}
agents: {one: {model: small}}
mixtures: {solo: {strategy: aggregate, layers: [one], aggregator: one}}
"""


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    assert list(loaded(tmp_path, SOUND).mixtures) == ["solo"]


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    assert refused(tmp_path, b"\xef\xbb\xbf" + SOUND.encode()) == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert "is empty; write models" in only(refused(tmp_path, text))


@pytest.mark.parametrize("text", ["- models", "7", "models"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "is not a mapping" in only(refused(tmp_path, text))


def test_a_directory_a_pipe_and_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, wrong in ((".", "directory"), ("pipe", "is not a file"), ("none", "does not exist"), ("a\0b", "path")):
        with pytest.raises(ConfigurationRefused, match=wrong):
            load(tmp_path / name, CHOICES)


def test_what_is_not_utf_8_is_refused_with_the_byte(tmp_path: Path) -> None:
    assert "is not UTF-8 at byte 3" in only(refused(tmp_path, b"a: \xff"))


def test_a_file_over_a_mebibyte_is_refused(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in only(refused(tmp_path, "# " + "x" * 1024 * 1024))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: {a: [}", "line 1, column 14"),
        ("models:\n\tsmall: x", "line 2, column 1"),
        ("a: 1\n---\nb: 2", "line 2, column 1"),
        ("a: *nobody", "line 1, column 4"),
        ("a: b\x01", "line 1, column 5"),
        ('a: "\\UFFFFFFFF"', "line 1"),
        ("[" * 10_000, "more than 32 levels"),
        ("[" + "x, " * 60_000 + "]", "or 50000 values"),
    ],
)
def test_broken_yaml_is_refused_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    problem = only(refused(tmp_path, text))
    assert "is not valid YAML" in problem
    assert place in problem


def test_keys_said_twice_are_all_told_with_their_lines(tmp_path: Path) -> None:
    text = "models:\n  a: {provider: local, provider: openai}\nagents: {}\nagents: {}\n"
    assert refused(tmp_path, text) == [
        "models.a.provider: is said twice, in lines 2 and 2; keep one",
        "agents: is said twice, in lines 3 and 4; keep one",
    ]


def test_anchors_and_merges_are_read(tmp_path: Path) -> None:
    text = SOUND.replace("}}\nagents", "}, other: {<<: *small, window: 4096}}\nagents", 1)
    other = loaded(tmp_path, text).models["other"]
    assert (other.provider, other.window) == ("local", 4096)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "use fewer aliases" in only(refused(tmp_path, "\n".join(layers)))


def test_merges_that_multiply_are_refused(tmp_path: Path) -> None:
    layers = ["a0: &a0 {x: 1}"]
    layers += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert "use fewer aliases" in only(refused(tmp_path, "\n".join(layers)))


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    assert "use fewer aliases" in only(refused(tmp_path, "models: &a {b: *a}"))


@pytest.mark.parametrize("value", ["!!python/object:os.system x", "!!binary aGk=", "!own {a: b}", "!!int seven"])
def test_tags_make_nothing(tmp_path: Path, value: str) -> None:
    assert refused(tmp_path, f"models: {value}")[0].startswith("models: ")


@pytest.mark.parametrize("key", ["7", "true", "[a]", "~"])
def test_a_key_that_is_no_text_is_refused(tmp_path: Path, key: str) -> None:
    assert "models: a key is not a text (line 1); put it into quotes" in refused(tmp_path, f"models: {{? {key} : x}}")


def test_words_and_dates_are_texts_as_editors_take_them(tmp_path: Path) -> None:
    data = plain()
    data["agents"]["one"]["instructions"] = "2026-01-01"
    text = SOUND.replace("one: {model: small}", "one: {model: small, instructions: 2026-01-01, labels: [on, no]}")
    agent = loaded(tmp_path, text).agents["one"]
    assert (agent.instructions, agent.labels) == ("2026-01-01", ("on", "no"))


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, 'models: "\\ud800"') == [
        "models: holds half a character (line 1); write the whole character"
    ]
