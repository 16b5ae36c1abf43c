"""`down --volumes` removes what Penstock made, and nothing else."""

from pathlib import Path

from penstock.local.report import Silent
from penstock.local.stack import OWNED, Stack
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
