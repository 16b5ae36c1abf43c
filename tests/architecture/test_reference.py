"""The generated pages are fresh, every file has its place in the map, and a breach of either is seen."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.scripts import load

ROOT = Path(__file__).resolve().parents[2]
MAP = """
| place | what |
|---|---|
| `penstock/clock.py` `penstock/stream/` | time; the runtime |
| `services/sink/postgres/**` | rows |
"""


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load("reference")


def test_the_pages_are_fresh_and_every_file_has_its_place(reference: ModuleType) -> None:
    assert reference.problems() == []


def test_a_stale_page_is_seen(reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / reference.REFERENCE).write_text(reference.reference().replace("penstock_lag", "penstock_leg"))
    (tmp_path / reference.MAP).write_text((ROOT / reference.MAP).read_text())
    house = reference.house()
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "house", lambda: house)
    assert reference.problems() == ["docs/reference.md is stale: run scripts/reference.py"]


def test_a_stale_table_of_errors_is_seen(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / reference.GUARANTEES).read_text()
    assert reference.guarantees(text) == text
    monkeypatch.setattr(reference, "ROWS", reference.ROWS[1:])
    assert reference.problems() == ["docs/guarantees.md is stale: run scripts/reference.py"]
    with pytest.raises(ValueError, match="has lost the lines"):
        reference.guarantees(text.replace("<!-- end -->", ""))


@pytest.mark.parametrize("path", ["penstock/utils.py", "penstock/stream/deep/loop.py", "services/sink/rows.py"])
def test_a_file_without_a_place_in_the_map_is_seen(reference: ModuleType, path: str) -> None:
    known = ["penstock/clock.py", "penstock/stream/loop.py", "services/sink/postgres/migrations/env.py"]
    assert reference.without_a_place(MAP, known) == []
    assert reference.without_a_place(MAP, [*known, path]) == [f"{path} has no place in ARCHITECTURE.md"]


def test_a_row_that_names_nothing_is_seen(reference: ModuleType) -> None:
    found = reference.without_a_place(MAP, ["penstock/clock.py", "penstock/stream/loop.py"])
    assert found == ["ARCHITECTURE.md names services/sink/postgres/**, which is not there"]
