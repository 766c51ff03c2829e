"""The map is true: what it names is there, and no room or concept of the way is left out."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "server" / "moa_server"
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NAMED = set(re.findall(r"`([\w/]+(?:/|\.py))`", MAP))


def test_every_file_and_room_that_is_named_is_there() -> None:
    assert {name for name in NAMED if not ((HOUSE / name).exists() or (ROOT / name).exists())} == set()


def test_every_room_is_on_the_map() -> None:
    rooms = {f"{place.name}/" for place in HOUSE.iterdir() if (place / "__init__.py").exists()}
    parts = {f"engine/{place.name}/" for place in (HOUSE / "engine").iterdir() if (place / "__init__.py").exists()}
    assert (rooms - {"engine/"}) | parts <= NAMED


def test_every_file_of_the_engine_is_on_the_map() -> None:
    files = {str(file.relative_to(HOUSE)) for file in (HOUSE / "engine").rglob("*.py") if file.name != "__init__.py"}
    assert files - NAMED == set()


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
    links = [
        (document, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8"))
        if "://" not in link
    ]
    assert [(str(document), link) for document, link in links if not (document.parent / link).exists()] == []
