"""The cache of jars, filled from the real repository."""

import threading
from pathlib import Path

import pytest

from penstock.local.jars import JarCache, Locked, is_good, read_lock

pytestmark = pytest.mark.integration


@pytest.fixture
def smallest() -> Locked:
    return min(read_lock("kafka"), key=lambda locked: locked.size_bytes)


def ensure(cache: Path, locked: Locked) -> Path:
    return JarCache(cache, threading.Event()).ensure([locked], lambda _size, _files: None)[0]


def test_a_broken_file_in_the_cache_is_fetched_again(tmp_path: Path, smallest: Locked) -> None:
    path = ensure(tmp_path, smallest)
    assert is_good(path, smallest)
    path.write_bytes(b"\0" * smallest.size_bytes)  # its size alone gives nothing away
    assert is_good(ensure(tmp_path, smallest), smallest)
    path.write_bytes(path.read_bytes()[:100])  # cut short
    assert is_good(ensure(tmp_path, smallest), smallest)
    assert list((tmp_path / "partial").glob("*.jar")) == []


def test_no_maven_folder_of_the_user_is_read_or_written(
    tmp_path: Path, smallest: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("PATH", "")
    ensure(tmp_path / "cache", smallest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]
