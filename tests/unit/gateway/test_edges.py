"""What crosses the border: metrics, endpoints files, settings, the Host and Origin of a request, a port."""

import socket
from pathlib import Path

import orjson
import pytest
from prometheus_client import generate_latest
from pydantic import ValidationError

from penstock.errors import SystemFaultError
from penstock.metrics import Metrics
from penstock.settings import SettingsError, load
from services.gateway.bind import bind
from services.gateway.endpoints import read_endpoints
from services.gateway.filters import EVERYTHING
from services.gateway.gauges import Gauges
from services.gateway.scrape import Instance, parse_figures
from services.gateway.server import Admission
from services.gateway.settings import GatewaySettings, instance_of
from tests.unit.gateway.feeding import hub

METRICS = """\
# HELP penstock_records_total Records by what became of them.
# TYPE penstock_records_total counter
penstock_records_total{outcome="in",stage="dedup"} 12.0
penstock_records_total{outcome="duplicate",stage="dedup"} 2.0
penstock_records_created{outcome="in",stage="dedup"} 1.7e+09
# TYPE penstock_lag gauge
penstock_lag{partition="0",stage="dedup",topic="events.raw"} 5.0
penstock_lag{partition="1",stage="dedup",topic="events.raw"} 7.0
# TYPE penstock_circuit gauge
penstock_circuit{dependency="registry",stage="dedup"} 0.0
penstock_circuit{dependency="postgres",stage="dedup"} 1.0
penstock_circuit{dependency="object-store",stage="dedup"} 2.0
penstock_commit_seconds_bucket{le="0.1",stage="dedup"} 3.0
"""


def test_figures_are_read_from_prometheus_text() -> None:
    figures = parse_figures(METRICS)
    assert figures.counts == {("dedup", "in"): 12.0, ("dedup", "duplicate"): 2.0}
    assert figures.lag == {"dedup": 12.0}
    assert figures.away == {"postgres", "object-store"}


def test_metrics_that_are_none_are_a_value_error() -> None:
    assert parse_figures("<html>not metrics</html>").counts == {}
    with pytest.raises(ValueError, match="twelve"):
        parse_figures('penstock_lag{stage="dedup"} twelve')


def test_endpoints_files_are_read_and_broken_ones_left_for_later(tmp_path: Path) -> None:
    whole = {"service": "dedup", "slot": 1, "pid": 77, "http": "http://127.0.0.1:8431", "started_at": 0}
    (tmp_path / "dedup.1.json").write_bytes(orjson.dumps(whole))
    (tmp_path / "enrich.0.json").write_text('{"service": "enr')
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "dedup.1.lock").write_text("")
    listed = [Instance("dedup", 1, "http://elsewhere:1"), Instance("ingest", 0, "http://elsewhere:2")]
    found = {instance.name: instance.url for instance in read_endpoints(tmp_path, listed)}
    assert found == {"dedup.1": "http://127.0.0.1:8431", "ingest.0": "http://elsewhere:2"}
    assert read_endpoints(tmp_path / "nowhere", []) == []
    assert read_endpoints(None, listed) == listed


def test_a_port_that_a_killed_service_left_behind_is_its_next_owners(tmp_path: Path) -> None:
    for service, started_at in (("dedup", 1000), ("enrich", 2000)):
        told = {"service": service, "slot": 0, "pid": 1, "http": "http://127.0.0.1:8431", "started_at": started_at}
        (tmp_path / f"{service}.0.json").write_bytes(orjson.dumps(told))
    assert [instance.service for instance in read_endpoints(tmp_path, [])] == ["enrich"]


@pytest.mark.parametrize(
    ("entry", "instance"),
    [
        ("dedup=http://10.0.0.7:8430/", Instance("dedup", 0, "http://10.0.0.7:8430")),
        ("sink-s3.2=https://host", Instance("sink-s3", 2, "https://host")),
    ],
)
def test_a_listed_service_has_a_name_and_an_address(entry: str, instance: Instance) -> None:
    assert instance_of(entry) == instance


@pytest.mark.parametrize("entry", ["dedup", "dedup=", "=http://x", "dedup.one=http://x", "dedup=ftp://x"])
def test_a_listed_service_without_one_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="name=http"):
        instance_of(entry)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "POSTGRES_DSN"):
        monkeypatch.setenv(f"PENSTOCK_{name}", "x")
    return monkeypatch


def test_settings_of_several_names_are_parted_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_GATEWAY_ALLOWED_HOSTS", "events.example.org, penstock")
    environment.setenv("PENSTOCK_SINKS", "postgres")
    settings = load(GatewaySettings)
    assert settings.allowed_hosts == {"events.example.org", "penstock"}
    assert settings.expected == ("ingest", "dedup", "enrich", "sentiment", "sink-postgres", "gateway")
    assert settings.port is None


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "70000"), ("MAX_CLIENTS", "0"), ("SERVICES", "dedup"), ("QUEUE_LENGTH", "5")]
)
def test_a_setting_that_is_none_is_refused_by_name(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(f"PENSTOCK_GATEWAY_{name}", value)
    with pytest.raises((SettingsError, ValidationError), match=f"PENSTOCK_GATEWAY_{name}"):
        load(GatewaySettings)


@pytest.mark.parametrize(
    ("host", "origin", "let_in"),
    [
        ("localhost:8420", None, True),
        ("127.0.0.1:8420", "http://127.0.0.1:8420", True),
        ("[::1]:8420", "http://[::1]:8420", True),
        ("LOCALHOST:8420", "http://localhost:8420", True),
        ("localhost:8420", "http://localhost:9999", False),
        ("localhost:8420", "https://example.org", False),
        ("localhost:8420", "null", False),
        ("localhost:8420", "http://[", False),
        ("evil.example:8420", "http://evil.example:8420", False),
        ("evil.example:8420", None, False),
        ("", None, False),
        ("[", None, False),
    ],
)
def test_only_our_own_page_and_our_own_name_get_in(host: str, origin: str | None, *, let_in: bool) -> None:
    assert (Admission().refusal(host, origin) is None) is let_in


def test_other_names_and_pages_get_in_where_they_are_allowed() -> None:
    named = Admission(hosts=frozenset({"events.example.org"}), origins=frozenset({"https://example.org"}))
    assert named.refusal("events.example.org", "https://example.org") is None
    assert named.refusal("other.example.org", None) is not None
    assert Admission(hosts=frozenset({"*"})).refusal("whatever:80", "http://whatever:80") is None
    assert Admission(hosts=frozenset({"*"})).refusal("whatever:80", "http://other") is not None


def test_a_taken_default_port_moves_to_the_next_that_is_free() -> None:
    with bind("127.0.0.1", 0, 0) as taken:
        default = taken.getsockname()[1]
        with bind("127.0.0.1", None, default) as moved:
            assert default < moved.getsockname()[1] < default + 100


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with bind("127.0.0.1", 0, 0) as taken, pytest.raises(SystemFaultError, match="PENSTOCK_GATEWAY_PORT"):
        bind("127.0.0.1", taken.getsockname()[1], 8420)


def test_an_address_that_is_not_ours_is_an_error_that_names_it() -> None:
    with pytest.raises(SystemFaultError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 8420, 8420)


def test_a_bound_socket_listens() -> None:
    with bind("127.0.0.1", 0, 0) as bound, socket.create_connection(bound.getsockname()) as client:
        assert client.getpeername() == bound.getsockname()


def test_the_metrics_count_clients_and_what_they_lost() -> None:
    table, at = Metrics(), hub(queue=2)
    gauges = Gauges(table)
    at.subscribe(EVERYTHING)
    at.attach(at.subscribe(EVERYTHING), at.position)
    at.dropped["slow"] += 5
    gauges.show(at)
    at.dropped["slow"] += 2
    gauges.show(at)
    text = generate_latest(table.registry).decode()
    assert 'penstock_gateway_clients{state="live"} 1.0' in text
    assert 'penstock_gateway_clients{state="behind"} 1.0' in text
    assert 'penstock_gateway_dropped_total{why="slow"} 7.0' in text
    assert "penstock_gateway_filters 1.0" in text
