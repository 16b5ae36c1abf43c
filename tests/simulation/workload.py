"""What goes into a run: records with uids, plain and in transactions, some of which are aborted."""

import asyncio
from random import Random

from penstock.stream.port import Outgoing, TopicPartition
from penstock.testing import Cluster, MemoryBroker

BAD = b"bad"
"""The value of a record that no stage can process."""
GHOST = b"ghost"
"""The value of a record whose transaction is aborted: nobody may ever see it."""


def uid_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Source:
    """Writes `count` records with `keys` different keys to a topic over `over_s` seconds.

    Args:
        first: the uids are numbered from here.
        echoes: now and then a uid comes again, as that of a dead letter that was sent back twice does.
        bad_keys: bad records are bad by their key, not by their value.
        jitter_ms: how far a record's timestamp may lie from the time it is written at.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        chance: Random,
        *,
        count: int,
        keys: int,
        over_s: float,
        jitter_ms: int = 0,
        bad_keys: bool = False,
        echoes: bool = False,
        first: int = 0,
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._chance = chance
        self._count = count
        self._keys = [bytes([number]) * 16 for number in range(keys)]
        self._over_s = over_s
        self._jitter_ms = jitter_ms
        self._bad_keys = bad_keys
        self._echoes = echoes
        self._made = first
        self._written: list[int] = []
        self._broker = MemoryBroker(cluster, transactional_id="source", transaction_timeout_s=60.0)

    async def run(self) -> None:
        chance = self._chance
        await self._broker.start()
        left = self._count
        while left > 0:
            await asyncio.sleep(chance.uniform(0.0, 2 * self._over_s * min(5, left) / self._count))
            size = min(left, chance.randint(1, 9))
            left -= size
            die = chance.random()
            if die < 0.5:
                self._cluster.send([self._record() for _ in range(size)])
                continue
            await self._broker.begin()
            await self._broker.produce([self._record(ghost=die > 0.8) for _ in range(size)], {})
            await asyncio.sleep(chance.choice((0.0, 0.01, 0.3)))
            await (self._broker.abort() if die > 0.8 else self._broker.commit({}, None))
        await self._broker.close()

    def _record(self, *, ghost: bool = False) -> Outgoing:
        self._made += 1
        chance = self._chance
        value = GHOST if ghost else BAD if chance.random() < 0.03 else b"%d" % self._made
        timestamp_ms = self._cluster.clock.now_ms() - int(chance.random() ** 4 * self._jitter_ms)
        number = self._made
        if self._echoes and value not in (BAD, GHOST) and self._written and chance.random() < 0.1:
            number = chance.choice(self._written)
        if value not in (BAD, GHOST):
            self._written.append(number)
        headers: list[tuple[str, bytes | None]] = [("uid", uid_of(number)), ("source", b"sim")]
        key = BAD if value == BAD and self._bad_keys else chance.choice(self._keys)
        return Outgoing(self._topic, key, value, headers, timestamp_ms)


def start(cluster: Cluster, group: str, topic: str) -> None:
    """The explicit first start of a group."""
    cluster.commit_offsets(group, {TopicPartition(topic, log.where.partition): 0 for log in cluster.topic(topic).logs})
