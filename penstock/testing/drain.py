"""Runs a stage on the in-memory cluster until it has nothing left to read: the whole of a stage's test in one line."""

import asyncio
import json
from collections.abc import Mapping

from penstock.metrics import Metrics
from penstock.stream.dead_letters import DeadLetters
from penstock.stream.handler import Handler, State
from penstock.stream.loop import Loop
from penstock.stream.meter import Meter
from penstock.stream.settings import LoopSettings
from penstock.stream.valve import ValveSettings
from penstock.testing.broker import MemoryBroker
from penstock.testing.cluster import Cluster
from penstock.testing.virtual_time import run_in_virtual_time

PATIENCE_S = 600.0
"""Of simulated time."""
_LOOK_S = 0.05


def drain(
    cluster: Cluster, handler: Handler, *topics: str, stage: str, state: State | None = None, max_records: int = 5000
) -> None:
    """Has the handler process all that is in these topics, with the real loop; then stops it.

    The group `penstock.<stage>` goes on where it was committed, from 0 the first time. Dead letters go to
    `dlq.<stage>` as JSON, bytes in hexadecimal, however many they are.

    Raises:
        PenstockError: the stage stopped, and why.
    """
    run_in_virtual_time(_drain(cluster, handler, topics, stage, state, max_records))


async def _drain(
    cluster: Cluster, handler: Handler, topics: tuple[str, ...], stage: str, state: State | None, max_records: int
) -> None:
    group = f"penstock.{stage}"
    known = cluster.committed(group)
    new = {tp: 0 for topic in topics for tp in cluster.topic(topic).partitions if tp not in known}
    cluster.commit_offsets(group, new)
    broker = MemoryBroker(cluster, topics=topics, group=group, transactional_id=f"{group}.0")
    topic_ids = {topic: cluster.topic(topic).topic_id for topic in topics}
    letters = DeadLetters(stage, encode_letter, topic_ids, cluster.clock)
    meter = Meter(stage, Metrics(), cluster.clock)
    settings = LoopSettings(stage, max_records=max_records, valve=ValveSettings(share=1.0))
    loop = Loop(broker, handler, letters, settings, cluster.clock, meter, state)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    deadline_s = cluster.now_s + PATIENCE_S
    while not cluster.is_drained(group, *topics):
        await asyncio.wait([running], timeout=_LOOK_S)
        if running.done():
            running.result()
        assert cluster.now_s < deadline_s, f"{stage} has not drained {', '.join(topics)} in {PATIENCE_S:.0f} s"
    stop.set()
    await running


def encode_letter(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, default=lambda value: value.hex()).encode()
