"""The generated pages are fresh, and whatever makes one stale or incomplete is seen."""

from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import generate_latest

from penstock.metrics import METRICS, Metrics
from tests.architecture.scripts import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load("reference")


def test_the_pages_are_fresh(reference: ModuleType) -> None:
    assert reference.problems() == []


def test_a_stale_page_is_seen(reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / reference.REFERENCE).write_text(reference.reference().replace("Unix time", "UNIX time"))
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.problems() == ["docs/reference.md is stale: run scripts/reference.py"]


def test_a_stale_table_in_the_page_of_a_service_is_seen(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (reference.REFERENCE, "services/dedup/README.md", "services/sink/README.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.problems() == []
    page = tmp_path / "services/sink/README.md"
    page.write_text(page.read_text().replace("`100000`", "`50000`"))
    assert reference.problems() == ["services/sink/README.md is stale: run scripts/reference.py"]


def test_every_metric_stands_there_under_the_name_that_is_exported(reference: ModuleType) -> None:
    made = Metrics()
    for metric in METRICS:
        {"counter": made.counter, "gauge": made.gauge, "histogram": made.histogram}[metric.kind](metric)
    exported = {family.name for family in made.registry.collect() if family.type != "counter"}
    exported |= {f"{family.name}_total" for family in made.registry.collect() if family.type == "counter"}
    told = {line.split("`")[1] for line in reference.metrics().splitlines()[2:]}
    assert told == exported
    page = generate_latest(made.registry).decode()
    assert all(f"# TYPE {name} " in page for name in told)


def test_a_variable_or_a_metric_that_stands_in_no_table_is_seen(reference: ModuleType) -> None:
    texts = {
        "scripts/demo": "${PENSTOCK_LOCK:-run} $PENSTOCK_LOCKE PENSTOCK_DEDUP_",
        "services/dedup/README.md": "`penstock_records`, `penstock_records_total{stage}` and PENSTOCK_DEDUP_WINDOWS",
    }
    assert reference.not_told(reference.reference(), texts) == [
        "scripts/demo names PENSTOCK_LOCKE, which docs/reference.md does not have",
        "services/dedup/README.md names PENSTOCK_DEDUP_WINDOWS, which docs/reference.md does not have",
        "services/dedup/README.md names penstock_records, which docs/reference.md does not have",
    ]


def test_a_stale_table_of_errors_is_seen(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / reference.GUARANTEES).read_text()
    assert reference.guarantees(text) == text
    monkeypatch.setattr(reference, "ROWS", reference.ROWS[1:])
    assert reference.problems() == ["docs/guarantees.md is stale: run scripts/reference.py"]
    with pytest.raises(ValueError, match="has lost the lines"):
        reference.guarantees(text.replace("<!-- end -->", ""))
