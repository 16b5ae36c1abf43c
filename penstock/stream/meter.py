"""What a loop tells about itself: counts, lag, readiness, and that it still turns."""

from collections.abc import Collection, Mapping, Sequence

from penstock import metrics
from penstock.clock import Clock
from penstock.metrics import Metrics
from penstock.retries import KAFKA, Retries
from penstock.stream.port import Outcome, TopicPartition
from penstock.stream.restore import Progress


class Meter:
    def __init__(self, stage: str, table: Metrics, clock: Clock) -> None:
        self._stage = stage
        self._clock = clock
        self._records = table.counter(metrics.RECORDS)
        self._commits = table.counter(metrics.COMMITS)
        self._commit_seconds = table.histogram(metrics.COMMIT_SECONDS).labels(stage)
        self._flush_seconds = table.histogram(metrics.FLUSH_SECONDS).labels(stage)
        self._position = table.gauge(metrics.POSITION)
        self._lag = table.gauge(metrics.LAG)
        self._partitions = table.gauge(metrics.PARTITIONS).labels(stage)
        self._ready = table.gauge(metrics.READY).labels(stage)
        self._progress = table.gauge(metrics.PROGRESS).labels(stage)
        self._restored = table.gauge(metrics.RESTORED)
        self._remaining = table.gauge(metrics.RESTORE_REMAINING)
        self._retries = Retries(stage, table)
        self._held: set[TopicPartition] = set()
        self._restoring: Mapping[TopicPartition, Progress] = {}
        self.last_progress_s = clock.monotonic_s()
        self.ready = False

    def progress(self) -> None:
        self.last_progress_s = self._clock.monotonic_s()
        self._progress.set(self._clock.now_ms() / 1000)

    def count(self, outcome: str, records: int) -> None:
        """`outcome`: in, out, dead, or a topic's own word for it (unique, duplicate, late)."""
        if records:
            self._records.labels(self._stage, outcome).inc(records)

    def took(
        self, records: int, forwarded: Mapping[str, Sequence[object]], sent: Collection[object], dead: int
    ) -> None:
        """A batch went through the handler; counted when it is produced, before its commit."""
        self.count("in", records)
        self.count("out", sum(map(len, forwarded.values())) + len(sent))
        self.count("dead", dead)

    def retried(self, why: BaseException | str, dependency: str = KAFKA) -> None:
        """What failed is tried again; what stands behind a `Dependency` counts for itself."""
        self._retries.count(dependency, why)

    def ended(self, outcome: Outcome, took_s: float) -> None:
        """A commit; whatever became of it but its success, the same records or the same call come again."""
        self._commits.labels(self._stage, outcome.value).inc()
        if outcome is Outcome.COMMITTED:
            self._commit_seconds.observe(took_s)
        else:
            self.retried(f"commit {outcome.value}")

    def stored(self, took_s: float) -> None:
        self._flush_seconds.observe(took_s)

    def lag(self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        for tp, position in positions.items():
            self._position.labels(self._stage, tp.topic, str(tp.partition)).set(position)
            if tp in ends:
                self._lag.labels(self._stage, tp.topic, str(tp.partition)).set(max(0, ends[tp] - position))

    @property
    def restoring(self) -> str | None:
        """What is being restored and how far it is, in a sentence; None when nothing is."""
        if not self._restoring:
            return None
        told = (
            f"{tp}, {progress.restored:,} changelog records read, {progress.remaining:,} offsets to go"
            for tp, progress in sorted(self._restoring.items())
        )
        return f"restoring {'; '.join(told)}"

    def restores(self, partitions: Mapping[TopicPartition, Progress]) -> None:
        """The partitions whose changelog is being read."""
        for gone in self._restoring.keys() - partitions.keys():
            for gauge in (self._restored, self._remaining):
                gauge.remove(self._stage, gone.topic, str(gone.partition))
        for tp, progress in partitions.items():
            self._restored.labels(self._stage, tp.topic, str(tp.partition)).set(progress.restored)
            self._remaining.labels(self._stage, tp.topic, str(tp.partition)).set(progress.remaining)
        self._restoring = partitions

    def holds(self, partitions: Collection[TopicPartition], *, ready: bool) -> None:
        if ready != self.ready or len(partitions) != len(self._held) or not self._held.issuperset(partitions):
            for gone in self._held.difference(partitions):
                for gauge in (self._position, self._lag):
                    try:
                        gauge.remove(self._stage, gone.topic, str(gone.partition))
                    except KeyError:
                        continue  # nothing was read of it
            self._held = set(partitions)
            self._partitions.set(len(partitions))
            self._ready.set(1 if ready else 0)
            self.ready = ready
