"""The dead-letter valve: where most of what comes in becomes a dead letter, the fault is hardly in the records.

A wrong schema, a broken model or a table that refuses everything would empty a whole topic into dead letters within
minutes. Beyond a share of them in a window the stage stops instead, after the commit, so that nothing is lost or
doubled. Pure: records and `now` come in, a reason to stop comes out.
"""

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from penstock.errors import DataError
from penstock.stream import headers
from penstock.stream.handler import Dead

_SLICES = 60
"""Of a window: what leaves it leaves a slice at a time, so that memory does not grow with the rate."""
_NAMED_REASONS = 5


@dataclass(frozen=True, slots=True)
class ValveSettings:
    """A stage stops when more than `share` of at least `least_records` within `window_s` were dead; 1.0: never."""

    share: float = 0.5
    window_s: float = 60.0
    least_records: int = 1000
    setting: str = "PENSTOCK_DEAD_LETTER_SHARE"
    """What the share is set by, for the one who has to."""

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and self.window_s > 0 and self.least_records > 0):
            raise ValueError(f"0 < share <= 1, window_s > 0 and least_records > 0 must hold: {self}")


@dataclass(slots=True)
class _Slice:
    from_s: float
    records: int = 0
    dead: Counter[str] = field(default_factory=Counter)


class Valve:
    """Counts what was committed. Dead letters that `penstock dlq retry` gave back count neither way: that they are dead
    again says nothing about what comes in."""

    def __init__(self, stage: str, settings: ValveSettings) -> None:
        self._stage = stage
        self._settings = settings
        self._open = _Slice(0.0)
        self._slices: deque[_Slice] = deque()
        self._records = 0
        self._dead: Counter[str] = Counter()
        self.shut: str | None = None
        """Why the stage has to stop; for the person who has to look. Once shut, the valve stays shut."""

    def took(self, records: int, dead: Collection[Dead]) -> None:
        """A batch that may still be undone; `records` counts the dead ones too, unless it counted them before."""
        first_time = [one for one in dead if not _was_given_back(one)]
        self._open.records += max(0, records - (len(dead) - len(first_time)))
        self._open.dead.update(one.error.reason for one in first_time)

    def undone(self) -> None:
        """What was taken since the last commit comes again."""
        self._open = _Slice(0.0)

    def committed(self, now_s: float) -> None:
        """What was taken counts from now on. `now_s` is monotonic seconds."""
        taken, self._open = self._open, _Slice(0.0)
        if not self._slices or now_s - self._slices[-1].from_s >= self._settings.window_s / _SLICES:
            self._slices.append(_Slice(now_s))
        self._slices[-1].records += taken.records
        self._slices[-1].dead.update(taken.dead)
        self._records += taken.records
        self._dead.update(taken.dead)
        while now_s - self._slices[0].from_s > self._settings.window_s:
            old = self._slices.popleft()
            self._records -= old.records
            self._dead -= old.dead
        self._judge()

    def _judge(self) -> None:
        dead = self._dead.total()
        records = max(self._records, dead)  # a store may refuse a record long after it was taken in
        if self.shut is None and records >= self._settings.least_records and dead > self._settings.share * records:
            self.shut = self._explained(records, dead)

    def _explained(self, records: int, dead: int) -> str:
        reasons = self._dead.most_common(_NAMED_REASONS)
        named = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        more = len(self._dead) - len(reasons)
        return (
            f"the dead-letter valve stops {self._stage}: {dead:,} of the last {records:,} records became dead letters"
            f" ({dead / records:.1%}, within {self._settings.window_s:g} s; {self._settings.share:.0%} is allowed)."
            f" Reasons: {named}{f' and {more} more' if more else ''}. Nothing is lost: each is whole in"
            f" dlq.{self._stage}, and what was taken is committed. Look at some with `penstock dlq show`, mend what is"
            f" wrong with the source, the schema or the stage, and start it again; {self._settings.setting}=1 lets"
            " everything pass"
        )


def _was_given_back(dead: Dead) -> bool:
    try:
        return headers.get(dead.record, headers.RETRY_COUNT) is not None
    except DataError:
        return False  # its headers cannot be read, which is why it is dead
