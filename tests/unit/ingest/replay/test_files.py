"""Which files a replay reads, and what it says about those it cannot read."""

import gzip
from pathlib import Path

import pytest

from penstock.errors import PermanentError
from services.ingest.replay import files
from services.ingest.replay.files import Lines, find_files


def test_names_folders_and_globs_stand_for_files_each_once_in_order(tmp_path: Path) -> None:
    for name in ("b.json", "a.json.gz", "airports.csv", "README.md", ".hidden", "c.csv"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    found = find_files([str(tmp_path / "c.csv"), str(tmp_path), str(tmp_path / "*.json")])
    assert [path.name for path in found] == ["c.csv", "a.json.gz", "b.json"]


@pytest.mark.parametrize("name", ["missing.json", "*.missing", "empty"])
def test_what_stands_for_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PermanentError, match="no such file"):
        find_files([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_lines_come_without_their_ends_and_with_their_share(tmp_path: Path, name: str) -> None:
    content = b"one\r\ntwo\n\nfour"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    lines = Lines(tmp_path / name)
    assert list(lines) == [b"one", b"two", b"", b"four"]
    assert lines.number == 4
    assert lines.read_bytes == lines.size_bytes == (tmp_path / name).stat().st_size


@pytest.mark.parametrize("damage", ["cut", "not-gzip"])
def test_a_damaged_gz_is_an_error_with_file_and_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.json.gz"
    packed = gzip.compress(b"".join(b"line %d\n" % number for number in range(5_000)))
    path.write_bytes(packed[: len(packed) // 2] if damage == "cut" else b"not packed at all\n")
    with pytest.raises(PermanentError, match=r"x\.json\.gz:\d+: cannot be read on from here"):
        list(Lines(path))


def test_a_line_without_an_end_in_sight_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    (tmp_path / "x").write_bytes(b"short\n" + b"x" * 50)
    with pytest.raises(PermanentError, match="x:2: a line of more than 10 bytes"):
        list(Lines(tmp_path / "x"))
