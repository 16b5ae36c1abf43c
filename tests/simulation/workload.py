"""What goes into a run: records with uids, plain and in transactions, some of which are aborted."""

import asyncio
from random import Random

from penstock.stream.port import Outcome, Outgoing, TopicPartition
from penstock.testing import Cluster, MemoryBroker
from tests.simulation.process import SkewedClock

BAD = b"bad"
"""The value of a record that the first stage to look at it cannot process."""
UNMOVED = b"unmoved"
"""The value of a record that the model of the second stage fails on."""
REFUSED = b"refused"
"""The value of a record that Postgres refuses to store."""
GHOST = b"ghost"
"""The value of a record whose transaction is aborted: nobody may ever see it."""
_BURST = 6
_TURNS = 0.0, 0.6, 0.0, 0.9
"""Of a steady source: plain, in a transaction, plain, in one that is aborted."""
SPECIAL = (BAD, UNMOVED, REFUSED, GHOST)


def uid_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Source:
    """Writes `count` records with `keys` different keys to a topic over `over_s` seconds.

    Args:
        first: the uids are numbered from here.
        name: its transactional id.
        echoes: now and then a uid comes again, as that of a dead letter that was sent back twice does.
        bad_keys: bad records are bad by their key, not by their value.
        special: values that a few records have instead of their number.
        steady: what is written, and when, does not depend on chance: bursts of a few, at equal distances.
        jitter_ms: how far a record's timestamp may lie behind the time it is written at, by the source's clock.
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
        special: tuple[bytes, ...] = (BAD,),
        steady: bool = False,
        first: int = 0,
        name: str = "source",
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
        self._special = special
        self._steady = steady
        self._made = first
        self._written: list[tuple[int, bytes]] = []
        self._broker = MemoryBroker(cluster, transactional_id=name, transaction_timeout_s=60.0)
        self.clock = SkewedClock(cluster.clock)

    async def run(self, until_s: float = float("inf")) -> None:
        """Ends early at `until_s`, with nothing left open."""
        chance = self._chance
        await self._broker.start()
        left = self._count
        while left > 0 and self._cluster.now_s < until_s:
            await asyncio.sleep(
                self._over_s * min(5, left) / self._count * (1 if self._steady else chance.uniform(0, 2))
            )
            size = min(left, _BURST if self._steady else chance.randint(1, 9))
            left -= size
            die = _TURNS[left // _BURST % len(_TURNS)] if self._steady else chance.random()
            if die < 0.5:
                self._cluster.send([self._record() for _ in range(size)])
                continue
            await self._broker.begin()
            await self._broker.produce([self._record(ghost=die > 0.8) for _ in range(size)], {})
            await asyncio.sleep(chance.choice((0.0, 0.01, 0.3)))
            if die > 0.8:
                if await self._broker.abort() is Outcome.FENCED:
                    await self._broker.renew()
                continue
            outcome = Outcome.UNKNOWN
            while outcome is Outcome.UNKNOWN:
                await asyncio.sleep(0.01)
                outcome = await self._broker.commit({}, None)
            assert outcome is Outcome.COMMITTED, f"the source's transaction ended {outcome.value}"
        await self._broker.close()

    def _record(self, *, ghost: bool = False) -> Outgoing:
        self._made += 1
        chance = self._chance
        value = GHOST if ghost else b"%d" % self._made
        if not ghost and (self._made % 5 == 0 if self._steady else chance.random() < 0.03 * len(self._special)):
            value = (
                self._special[self._made // 5 % len(self._special)] if self._steady else chance.choice(self._special)
            )
        timestamp_ms = self.clock.now_ms() - int(chance.random() ** 4 * self._jitter_ms)
        number = self._made
        key = self._keys[number % len(self._keys)] if self._steady else chance.choice(self._keys)
        if value == BAD and self._bad_keys:
            key = BAD
        if value not in SPECIAL:
            if self._echoes and self._written and chance.random() < 0.1:
                number, key = chance.choice(self._written)
            self._written.append((number, key))
        headers: list[tuple[str, bytes | None]] = [
            ("uid", uid_of(number)),
            ("source", b"sim"),
            ("fingerprint-version", b"1"),
        ]
        return Outgoing(self._topic, key, value, headers, timestamp_ms)


def start(cluster: Cluster, group: str, topic: str) -> None:
    """The explicit first start of a group."""
    cluster.commit_offsets(group, {TopicPartition(topic, log.where.partition): 0 for log in cluster.topic(topic).logs})
