"""Apache Kafka: combined brokers and controllers (KRaft) on 127.0.0.1, one or several."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from penstock.errors import TransientError
from penstock.local.aot import StartCache
from penstock.local.errors import NotAnsweringError, StackError
from penstock.local.folders import make_folder
from penstock.local.java import java_command, java_executable, java_mark
from penstock.local.part import log_path
from penstock.local.process import Launch, clean_environment, last_lines, run
from penstock.local.state import State, kafka_parts
from penstock.stream.probe import require_in_sync, require_metadata, require_transactions

VERSION = "4.3.1"
_HEAP_MB = 512
_HEAP_OF_SEVERAL_MB = 256  # each

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %p %m (%c{1})%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
# Every client's settings, at each start.
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
"""


class Kafka:
    """One node. `name` is one of kafka_parts(state.nodes); its index is the node's id."""

    version = VERSION
    stop_signal = signal.SIGTERM
    stop_grace_s = 60.0  # the first end writes the start cache

    def __init__(self, name: str, data: Path, cache: Path, state: State, jars: Callable[[], list[Path]]) -> None:
        self.name = name
        self._data = data
        self._state = state
        self._jars = jars
        self._home = data / name
        first = name == kafka_parts(state.nodes)[0]
        self._starts = StartCache(self._home, cache / "aot", "kafka", makes=first)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._state.ports[self.name]}"

    @property
    def mark(self) -> str:
        return java_mark(self._home / "tmp")

    def prepare(self) -> Launch:
        self.settle()
        classpath = ":".join(str(jar) for jar in self._jars())
        make_folder(self._home)
        properties = self._home / "server.properties"
        properties.write_text(self._settings())
        (self._home / "log4j2.properties").write_text(_LOG4J)
        heap_mb = _HEAP_MB if self._state.nodes == 1 else _HEAP_OF_SEVERAL_MB
        java = java_command(
            heap_mb,
            self._home / "tmp",
            f"-Xms{heap_mb // 4}m",
            "-XX:+UseG1GC",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-cp",
            classpath,
        )
        quicker = self._starts.options_of_tool(java_executable(), classpath)
        self._format([java[0], *quicker, *java[1:]], properties)
        quicker = self._starts.options(java_executable(), classpath)
        argv = [java[0], *quicker, *java[1:], "kafka.Kafka", properties]
        return Launch(argv, self._home, clean_environment(HOME=str(self._home)))

    def _format(self, java: list[str | Path], properties: Path) -> None:
        """Writes the cluster's id and first metadata, once. Begun and not finished counts as not done."""
        done = self._home / "formatted"
        if done.exists():
            if done.read_text() != self._state.cluster_id:
                raise StackError(
                    f"{self._home} belongs to an earlier stack, whose stack.json is gone;"
                    " restore it, or `penstock down --volumes` to start anew"
                )
            return
        shutil.rmtree(self._home / "log", ignore_errors=True)
        command = [*java, "kafka.tools.StorageTool", "format", "-t", self._state.cluster_id, "-c", properties]
        log = log_path(self._data, self.name)
        if run(Launch(command, self._home, clean_environment(HOME=str(self._home))), log, timeout_s=120):
            raise StackError(f"Kafka could not format its storage in {self._home}:\n{last_lines(log)}")
        done.write_text(self._state.cluster_id)

    def _settings(self) -> str:
        """The whole of server.properties; what is not here is Kafka's default."""
        nodes = kafka_parts(self._state.nodes)
        voters = [f"{i}@127.0.0.1:{self._state.ports[f'{node}-controller']}" for i, node in enumerate(nodes, start=1)]
        copies = min(3, len(nodes))
        in_sync = max(1, copies - 1)
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": nodes.index(self.name) + 1,
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},"
            f"CONTROLLER://127.0.0.1:{self._state.ports[f'{self.name}-controller']}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            # Relative to the working directory: no character of DATA's path can be taken for syntax.
            "log.dirs": "log",
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            # A dead letter wraps the largest record of the flow; the topics' own limits are lower.
            "message.max.bytes": 16 * 1024 * 1024,
            "replica.fetch.max.bytes": 16 * 1024 * 1024,
            # Few partitions: a starting broker loads each of them before it coordinates anything.
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            # With the default of 10 s, the open transaction of a killed service holds readers back twice its time-out.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            # A killed member's partitions come back after 6 s instead of 45 (KIP-848).
            "group.consumer.session.timeout.ms": 6000,
            "group.consumer.min.session.timeout.ms": 6000,
            "group.consumer.heartbeat.interval.ms": 1500,
            "group.consumer.min.heartbeat.interval.ms": 1500,
            "group.initial.rebalance.delay.ms": 0,
            # 128 MB of the heap otherwise, for a cleaner that has a few small compacted topics.
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 4,
        }
        if len(nodes) > 1:
            # What a killed node led is led by another before a commit's Deadline of 8 s (9 s by default), also where
            # the controller died with it, whose successor is elected first.
            settings |= {"broker.session.timeout.ms": 4500, "broker.heartbeat.interval.ms": 1000}
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def probe(self, *, thorough: bool) -> None:
        try:
            if not thorough:
                # Of this node alone: the others are asked themselves.
                require_metadata(self.address, 2.0)
            else:
                require_in_sync(self.address, 2.0, self._state.nodes)
                require_transactions(self.address, f"penstock.probe.{self.name}", 5.0)
        except TransientError as error:
            raise NotAnsweringError(str(error)) from error

    def farewell(self) -> str:
        return self._starts.farewell()

    def complete(self) -> None:
        pass

    def settle(self) -> None:
        self._starts.adopt()

    def remove(self) -> None:
        pass
