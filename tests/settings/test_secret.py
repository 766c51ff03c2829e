from pathlib import Path

import pytest

from moa_server.settings import json_schema
from moa_server.settings.secret import CommandSecret, EnvironmentSecret, FileSecret
from tests.settings.tiny import CHOICES, loaded, plain, refused


def keyed(reference: object) -> dict[str, object]:
    data = plain()
    data["models"]["small"]["api_key"] = reference
    return data


def test_a_secret_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_KEY", "sk-one")
    secret = loaded(tmp_path, keyed({"env": "SMALL_KEY"})).models["small"].api_key
    assert secret is not None
    assert secret.reveal() == "sk-one"
    assert "sk-one" not in repr(secret)


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-two\n")
    secret = loaded(tmp_path, keyed({"file": "key"})).models["small"].api_key
    assert secret is not None
    assert secret.reveal() == "sk-two"
    assert "sk-two" not in repr(secret)


def test_a_changed_file_is_read_again_and_a_lost_one_remembered(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first")
    secret = FileSecret(path)
    assert secret.reveal() == "first"
    path.write_text("the second")
    assert secret.reveal() == "the second"
    path.write_text("")
    assert secret.reveal() == "the second"
    path.unlink()
    assert secret.reveal() == "the second"


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "key"
    link.symlink_to("one")
    secret = FileSecret(link)
    assert secret.reveal() == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert secret.reveal() == "two"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"two\nlines", "ключ".encode()])
def test_an_unfit_file_is_refused_at_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    (problem,) = refused(tmp_path, keyed({"file": "key"}))
    assert problem.startswith("models.small.api_key: ")


def test_a_missing_variable_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    assert refused(tmp_path, keyed({"env": "NO_KEY"})) == [
        "models.small.api_key: the environment variable NO_KEY is missing or empty; put the secret there"
    ]


def test_secrets_of_one_place_are_equal() -> None:
    assert EnvironmentSecret("A") == EnvironmentSecret("A")
    assert FileSecret(Path("a")) == FileSecret(Path("a"))
    assert hash(FileSecret(Path("a"))) == hash(FileSecret(Path("a")))


def test_a_key_may_be_printed_by_a_program(tmp_path: Path) -> None:
    secret = loaded(tmp_path, keyed({"command": ["sh", "-c", "echo t"], "every": "5m"})).models["small"].api_key
    assert secret == CommandSecret(("sh", "-c", "echo t"), 300.0)
    with pytest.raises(ValueError, match="sh is not run"):
        secret.reveal()
    assert loaded(tmp_path, keyed({"command": ["sh"]})).models["small"].api_key == CommandSecret(("sh",), 1800.0)


def test_a_path_to_a_program_is_relative_to_the_configuration(tmp_path: Path) -> None:
    program = tmp_path / "print-key"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    secret = loaded(tmp_path, keyed({"command": ["./print-key"]})).models["small"].api_key
    assert secret == CommandSecret((str(tmp_path / "./print-key"),), 1800.0)
    program.chmod(0o644)
    (problem,) = refused(tmp_path, keyed({"command": ["./print-key"]}))
    assert problem.startswith("models.small.api_key: ")
    assert "is no program that can be run" in problem


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ({"command": ["no-such-program"]}, "api_key: no-such-program is no program that can be run; install it, or"),
        ({"command": "gcloud auth print-access-token"}, "api_key.command: is not a list; write [a, b]"),
        ({"command": []}, "api_key.command: has too few entries; it needs at least 1"),
        ({"command": [""]}, "api_key.command: names no program; write [PROGRAM, ARGUMENT]"),
        ({"command": ["sh", "a\0b"]}, "api_key.command: names no program; write [PROGRAM, ARGUMENT]"),
        ({"command": ["sh", 1]}, "api_key.command[1]: is not a text; put it into quotes"),
        ({"command": ["sh"], "every": "59s"}, "api_key.every: is too small; it has to be at least 60"),
        ({"command": ["sh"], "every": "2d"}, "api_key.every: is too large; it has to be at most 86400"),
        ({"command": ["sh"], "evry": "2m"}, "api_key.evry: there is no key 'evry'; did you mean 'every'?"),
        ({"command": ["sh"], "env": "A"}, "api_key: a secret is kept in exactly one place; write {env: NAME} or"),
        ({"env": "A", "every": "5m"}, "api_key: every goes with a command only; leave it out"),
        ({"every": "5m"}, "api_key: a secret is kept in exactly one place; write {env: NAME} or"),
    ],
    ids=str,
)
def test_what_no_program_can_be_made_of_is_refused(tmp_path: Path, reference: object, problem: str) -> None:
    (told,) = refused(tmp_path, keyed(reference))
    assert told.startswith(f"models.small.{problem}")


def test_only_keys_of_models_are_printed(tmp_path: Path) -> None:
    data = plain()
    data["server"] = {"callers": {"search": {"token": {"command": ["sh"]}}}}
    (problem,) = refused(tmp_path, data)
    assert problem == "server.callers.search.token.command: there is no key 'command'; known are env, file"


def test_the_schema_tells_what_a_key_may_be() -> None:
    parts = json_schema(CHOICES)["$defs"]
    key = parts["KeyReference"]["properties"]
    assert list(key) == ["env", "file", "command", "every"]
    assert (key["every"]["default"], key["command"]["items"]["type"]) == (1800.0, "string")
    assert all(each["description"] for each in key.values())
    assert "command" not in parts["SecretReference"]["properties"]
