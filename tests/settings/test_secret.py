from pathlib import Path

import pytest

from moa_server.settings.secret import EnvironmentSecret, FileSecret
from tests.settings.tiny import loaded, plain, refused


def keyed(reference: dict[str, str]) -> dict[str, object]:
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
