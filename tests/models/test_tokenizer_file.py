"""Tokens are counted by a model's own tokenizer where its file is given."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from moa_server.domain import tokens
from moa_server.domain.conversation import Message, Role
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.models import TokenizerFile

PROSE = "the quick brown fox jumps over the lazy dog " * 20


@pytest.fixture
def library() -> ModuleType:
    found: ModuleType = pytest.importorskip("tokenizers", reason="the extra tokenizers is not installed")
    return found


@pytest.fixture
def file(tmp_path: Path, library: ModuleType) -> Path:
    """A small tokenizer that knows these words, and every byte."""
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    made.train_from_iterator([PROSE], trainer)
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def test_a_text_is_counted_as_the_file_says(file: Path) -> None:
    counted = TokenizerFile.read(file)
    words = len(PROSE.split())
    assert words <= counted.count(PROSE) <= words + 4
    assert counted.count(PROSE) == counted.count("".join([*PROSE]))
    assert counted.count("一") >= 3


def test_what_looks_like_a_control_token_is_counted_as_the_text_it_is(file: Path) -> None:
    assert TokenizerFile.read(file).count("<|end|>") > 5


def test_half_a_character_is_counted_too(file: Path) -> None:
    assert TokenizerFile.read(file).count("\ud83d hello") > 2


def test_a_call_is_counted_by_it(file: Path) -> None:
    asked = Prompt((Message.of(Role.USER, PROSE),), response_schema='{"type": "object"}')
    counted = TokenizerFile.read(file)
    schema = tokens.TOKENS_PER_SCHEMA + tokens.TOKENS_PER_SUBSCHEMA
    frame = tokens.TOKENS_PER_CALL + tokens.TOKENS_PER_MESSAGE + schema
    exact = counted.count(PROSE) + counted.count('{"type": "object"}')
    assert asked.tokens(ModelSpec("m", "openai", counted_by=counted)) == frame + exact


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("content", ["{}", "not JSON", '{"model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is no tokenizer.json that can be read"):
        TokenizerFile.read(path)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"install moa-server\[tokenizers\]"):
        TokenizerFile.read(tmp_path / "tokenizer.json")
