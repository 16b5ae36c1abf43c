"""The copying stage by Bytewax, at least once: it has no transactions. It keeps its position in a recovery store.

The flush of its last batch is not counted, in its favour.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from bytewax import operators as op  # type: ignore[import-not-found]  # only in its own environment
from bytewax.connectors.kafka import (  # type: ignore[import-not-found]  # only in its own environment
    KafkaSink,
    KafkaSinkMessage,
    KafkaSource,
    KafkaSourceMessage,
)
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]  # only in its own environment
from bytewax.recovery import RecoveryConfig, init_db_dir  # type: ignore[import-not-found]  # only in its own environment
from bytewax.run import cli_main  # type: ignore[import-not-found]  # only in its own environment

from loadtests.contender import COMMIT_EVERY_S, Job, Stopwatch, Told, serve


def bytewax(job: Job) -> Told:
    assert not job.exactly_once, "Bytewax 0.21 writes to Kafka at least once"
    watch, left = Stopwatch(), job.records

    def copied(message: "KafkaSourceMessage[bytes, bytes]") -> "KafkaSinkMessage[bytes, bytes]":
        nonlocal left
        watch.start()
        left -= 1
        if left == 0:
            watch.stop()
        _, timestamp_ms = message.timestamp
        return KafkaSinkMessage(message.key, message.value, headers=message.headers, timestamp=timestamp_ms)

    servers = [job.bootstrap_servers]
    reading = {"fetch.queue.backoff.ms": "10", "queued.max.messages.kbytes": "65536"}
    writing = {"compression.type": "lz4", "linger.ms": "5", "acks": "all", "enable.idempotence": "true"}
    flow = Dataflow("copy")
    source = KafkaSource(servers, [job.source], tail=False, add_config=reading, batch_size=5000)
    op.output("out", op.map("copy", op.input("in", flow, source), copied), KafkaSink(servers, job.target, writing))
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)
        every = timedelta(seconds=COMMIT_EVERY_S)
        cli_main(flow, epoch_interval=every, recovery_config=RecoveryConfig(folder))
    return watch.told()


if __name__ == "__main__":
    serve(bytewax)
