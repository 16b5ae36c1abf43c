"""`down --volumes` removes what Penstock made, and nothing else."""

import subprocess
import sys
from pathlib import Path

from penstock.local.java import java_mark
from penstock.local.stack import OWNED, Stack
from tests.unit.local.silent import Silent
from tests.unit.local.test_ports import Remembering


def test_what_is_not_penstocks_stays_and_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in (*OWNED - {"stack.json", "lock"}, "kafka-1"):
        (data / name / "inside").mkdir(parents=True)
    (data / "holiday.jpg").touch()
    report = Remembering()
    Stack(data, tmp_path / "cache", report).down(volumes=True)
    assert [path.name for path in data.iterdir()] == ["holiday.jpg"]
    assert any("holiday.jpg" in text for _part, text in report.said)


def test_a_folder_of_penstocks_own_goes_as_well(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "logs").mkdir(parents=True)
    Stack(data, tmp_path / "cache", Silent()).down(volumes=True)
    assert not data.exists()


def test_without_a_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert Stack(tmp_path / "data", tmp_path / "cache", Silent()).down(volumes=True) == []


def test_parts_whose_folder_was_removed_under_them_are_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    marks = [java_mark(data / part / "tmp") for part in ("registry", "kafka-2")]
    asleep = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mark]) for mark in marks]
    try:
        assert Stack(data, tmp_path / "cache", Silent()).down() == ["registry", "kafka-2"]
        assert [process.wait(10) for process in asleep] == [-15, -15]
    finally:
        for process in asleep:
            process.kill()
            process.wait()
    assert not data.exists()
