"""Every metric Penstock exports, in one typed table; docs/reference.md is made from it."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of: str = ""
    """The one service that has it; "" for what every stage has."""

    @property
    def exported(self) -> str:
        """The name to ask Prometheus for; of a histogram, its stem."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RECORDS = Metric("penstock_records", "counter", "Records by what became of them.", ("stage", "outcome"))
COMMITS = Metric("penstock_commits", "counter", "Transactions by how they ended.", ("stage", "outcome"))
COMMIT_SECONDS = Metric("penstock_commit_seconds", "histogram", "Time a commit took.", ("stage",), _SECONDS)
FLUSH_SECONDS = Metric(
    "penstock_flush_seconds", "histogram", "Time a sink's store took to commit.", ("stage",), _SECONDS, of="sink"
)
POSITION = Metric("penstock_position", "gauge", "Committed next input offset.", ("stage", "topic", "partition"))
LAG = Metric(
    "penstock_lag",
    "gauge",
    "Records between the committed and the last stable offset.",
    ("stage", "topic", "partition"),
)
PARTITIONS = Metric("penstock_partitions", "gauge", "Partitions held.", ("stage",))
READY = Metric("penstock_ready", "gauge", "1 when assigned and restored.", ("stage",))
RESTORED = Metric(
    "penstock_restored",
    "gauge",
    "Changelog records read, of a partition that is being restored.",
    ("stage", "topic", "partition"),
)
RESTORE_REMAINING = Metric(
    "penstock_restore_remaining",
    "gauge",
    "Changelog offsets still to be read before the partition goes on.",
    ("stage", "topic", "partition"),
)
CIRCUIT = Metric(
    "penstock_circuit",
    "gauge",
    "Circuit breaker before what a stage needs outside Kafka: 0 closed, 1 half-open, 2 open.",
    ("stage", "dependency"),
)
RETRIES = Metric(
    "penstock_retries",
    "counter",
    "Attempts made again because one had failed, by its error's class, or for Kafka its row in docs/guarantees.md.",
    ("stage", "dependency", "cause"),
)
PROGRESS = Metric("penstock_progress_timestamp_seconds", "gauge", "Unix time of the loop's last turn.", ("stage",))
SEEN_ENTRIES = Metric(
    "penstock_seen_entries", "gauge", "First-seen entries that dedup holds.", ("stage", "partition"), of="dedup"
)
SEEN_BYTES = Metric(
    "penstock_seen_bytes", "gauge", "Memory they take, index included.", ("stage", "partition"), of="dedup"
)
WATERMARK = Metric(
    "penstock_watermark_timestamp_seconds",
    "gauge",
    "Newest ingest time committed, Unix time.",
    ("stage", "partition"),
    of="dedup",
)
REQUEST_SECONDS = Metric(
    "penstock_request_seconds",
    "histogram",
    "Time from a POST's arrival at ingest to its answer.",
    ("status",),
    _SECONDS,
    of="ingest",
)
GATEWAY_CLIENTS = Metric(
    "penstock_gateway_clients", "gauge", "Clients of the live feed, live or behind.", ("state",), of="gateway"
)
GATEWAY_FILTERS = Metric(
    "penstock_gateway_filters", "gauge", "Distinct filters that each event is looked at with.", of="gateway"
)
GATEWAY_DROPPED = Metric(
    "penstock_gateway_dropped",
    "counter",
    "Events that clients lost: slow ones, or by an expired cursor.",
    ("why",),
    of="gateway",
)

METRICS = (
    RECORDS,
    COMMITS,
    COMMIT_SECONDS,
    FLUSH_SECONDS,
    POSITION,
    LAG,
    PARTITIONS,
    READY,
    RESTORED,
    RESTORE_REMAINING,
    CIRCUIT,
    RETRIES,
    PROGRESS,
    SEEN_ENTRIES,
    SEEN_BYTES,
    WATERMARK,
    REQUEST_SECONDS,
    GATEWAY_CLIENTS,
    GATEWAY_FILTERS,
    GATEWAY_DROPPED,
)


class Metrics:
    """The table's metrics in one registry; each is made when first asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, metric: Metric) -> Counter:
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        assert isinstance(made, Counter)  # noqa: S101  the table gives a name one kind
        return made

    def gauge(self, metric: Metric) -> Gauge:
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
        assert isinstance(made, Gauge)  # noqa: S101
        return made

    def histogram(self, metric: Metric) -> Histogram:
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = Histogram(
                metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
            )
        assert isinstance(made, Histogram)  # noqa: S101
        return made
