"""`penstock lake vacuum` on a directory."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import main
from penstock.lake.layout import Chain, Folder
from penstock.lake.manifest import LakeFile, Manifest
from penstock.lake.vacuum import ORPHAN_AGE_S

CHAIN = Chain("events.scored", "dGhlLXRvcGljLWlkLTAwMQ", 0)
FOLDER = Folder("github", "2015-01-01", 0)
NAMED = CHAIN.file_path(FOLDER, 0, 10, "aa")
ORPHAN = CHAIN.file_path(FOLDER, 0, 10, "bb")
YOUNG = CHAIN.file_path(FOLDER, 10, 20, "bb")
STRANGER = "events/notes.txt"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A named file, an orphan and a stranger's, all two days old, and a young file."""
    manifest = Manifest(CHAIN, 0, 10, "aa", 0, (LakeFile(NAMED, 10, 4, *FOLDER),))
    for name in (NAMED, ORPHAN, YOUNG, STRANGER, manifest.path):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.encode() if name == manifest.path else b"PAR1")
        if name != YOUNG:
            at = time.time() - 2 * ORPHAN_AGE_S
            os.utime(path, (at, at))
    return tmp_path


def vacuum(lake: Path, *words: str) -> Result:
    return CliRunner().invoke(
        main, ["--data", str(lake / "none"), "--object-store-url", lake.as_uri(), "lake", "vacuum", *words]
    )


def left(lake: Path) -> set[str]:
    return {str(path.relative_to(lake)) for path in (lake / "events").rglob("*") if path.is_file()}


def test_only_the_old_file_that_no_manifest_names_is_removed(lake: Path) -> None:
    done = vacuum(lake)
    assert done.exit_code == 0, done.output
    assert left(lake) == {NAMED, YOUNG, STRANGER}
    assert ORPHAN in done.stdout
    assert f"left alone, no file of Penstock's: {STRANGER}" in done.stderr


def test_a_dry_run_removes_nothing_and_says_the_same(lake: Path) -> None:
    done = vacuum(lake, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert left(lake) == {NAMED, ORPHAN, YOUNG, STRANGER}
    said = json.loads(done.stdout)
    assert [orphan["path"] for orphan in said["orphans"]] == [ORPHAN]
    assert (said["removed"], said["named_files"], said["young_files"], said["strangers"]) == (False, 1, 1, [STRANGER])


def test_a_lake_that_cannot_be_judged_is_left_alone(lake: Path) -> None:
    """Without its manifest a named file would look like an orphan."""
    (lake / CHAIN.manifest_path(0)).write_text("{}")
    done = vacuum(lake)
    assert done.exit_code == 3
    assert "is not a manifest" in done.stderr
    assert left(lake) == {NAMED, ORPHAN, YOUNG, STRANGER}


def test_an_empty_lake_has_nothing_to_remove(tmp_path: Path) -> None:
    done = vacuum(tmp_path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["orphans"] == []


def test_an_address_of_no_store_is_explained(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["--data", str(tmp_path), "--object-store-url", "ftp://somewhere", "lake", "vacuum"]
    )
    assert done.exit_code == 3
    assert "PENSTOCK_OBJECT_STORE_URL=ftp://somewhere names no object store" in done.stderr


def test_a_folder_that_is_not_there_is_missed_and_not_made(tmp_path: Path) -> None:
    done = vacuum(tmp_path / "lake")
    assert (done.exit_code, done.output) == (
        3,
        f"Error: there is no folder {tmp_path / 'lake'}: nothing was ever stored there\n",
    )
    assert list(tmp_path.iterdir()) == []
