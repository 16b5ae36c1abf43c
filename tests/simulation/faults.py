"""What goes wrong in a run, drawn from its seed before it begins, so that a fault can be left out and the rest kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

BROKER_CALLS = (
    "start", "poll", "begin", "produce", "commit", "abort", "renew", "pause", "resume", "seek", "positions",
    "stable_offsets", "end_offsets", "begin_offsets", "topic_id", "read", "delete_records", "close",
)  # fmt: skip
TABLE_CALLS = ("table.positions", "table.put", "table.refused")
OBJECT_CALLS = ("objects.put", "objects.create", "objects.get", "objects.list", "objects.delete")
STORE_CALLS = (*TABLE_CALLS, *OBJECT_CALLS)
HANDLER_CALLS = ("process", "prepare", "told")
"""Of a stage: its handler, its codecs when they ask the registry, its state when it hears of a commit."""
FAILING_CALLS = frozenset({
    "begin", "produce", "renew", "stable_offsets", "end_offsets", "begin_offsets", "topic_id", "read", "delete_records",
    "process", "prepare", *STORE_CALLS,
})  # fmt: skip
"""Calls that may raise TransientError, by the port and by the handlers' contract."""
LOCAL_CALLS = frozenset({"poll", "begin", "pause", "resume", "seek", "positions", *HANDLER_CALLS})
"""Calls that take their time once, not there and back: most stay within the process."""
AWAIT = "await"
"""In the place of a call: wherever a task of a process waits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: from `at_s` on it lets `skip` calls that it fits go by, and strikes the next, once.

    `call` is empty for what befalls a process or the cluster at a time, and not at a call.
    """

    number: int
    at_s: float
    kind: str
    call: str = ""
    after: bool = False
    length_s: float = 0.0
    skip: int = 0

    def __str__(self) -> str:
        length = f" for {self.length_s:.2f} s" if self.length_s else ""
        skipped = f", {self.skip} skipped" if self.skip else ""
        return f"#{self.number} {self.name} from {self.at_s:.2f} s{skipped}{length}"

    @property
    def name(self) -> str:
        """What the counts are kept by."""
        if not self.call or ":" in self.kind:
            return self.kind
        return f"{self.kind} at an await" if self.call == AWAIT else f"{self.kind} {self.when} {self.call}"

    @property
    def when(self) -> str:
        return "after" if self.after else "before"


COMMIT_KINDS = (
    "commit: request lost", "commit: answer lost", "commit: arrives late", "commit: refused",
    "commit: fenced, not done", "commit: fenced, done",
)  # fmt: skip
WRITE_KINDS = ("produce: half, then an error", "produce: half, as the commit finds", "abort: fenced")
STORE_KINDS = (
    "store: arrives late", "store: answers late", "store: breaks half-way", "store: answers with what it did itself",
)  # fmt: skip
WORLD_KINDS = (
    "clock jump", "scale down", "thrown out of the group", "rebalance", "second process of one id", "markers late",
    "coordinator moves",
)  # fmt: skip
SINK_KINDS = ("group offset moved",)
"""Only where the store's own offset is the truth."""
KINDS = ("kill", "freeze", "fail", *COMMIT_KINDS, *WRITE_KINDS, *STORE_KINDS, *WORLD_KINDS, *SINK_KINDS)
"""Every kind of fault there is."""


def kind_of(name: str) -> str:
    """The kind in a fault's name, wherever it struck."""
    return next(kind for kind in KINDS if name == kind or name.startswith(f"{kind} "))


_LENGTHS_S = (0.2, 1.0, 2.5, 4.5, 9.0)
"""Shorter and longer than a session, a transaction's time-out, and max.poll.interval."""
_RESTARTS_S = (0.0, 0.5, 4.0)
_SKIPS = (0, 0, 1, 2, 5)
_MOST_AWAITS = 60


def draw(chance: Random, until_s: float, most: int, calls: Sequence[str]) -> list[Fault]:
    """Up to `most` faults over `until_s` seconds; `calls` are those that the runtime under test makes."""
    dice = _Dice(chance, until_s, calls)
    faults = [fault for number in range(chance.randint(0, most)) for fault in dice.roll(number)]
    return sorted(faults, key=lambda fault: fault.at_s)


class _Dice:
    def __init__(self, chance: Random, until_s: float, calls: Sequence[str]) -> None:
        self._chance = chance
        self._until_s = until_s
        self._calls = calls
        self._failing = [call for call in calls if call in FAILING_CALLS]
        if "process" in calls:
            self._failing += ["process"] * len(self._failing)  # what most aborts come from
        self._stores = [call for call in calls if call in ("table.put", "objects.create", "objects.put")]
        self._world = (*WORLD_KINDS, *SINK_KINDS) if self._stores else WORLD_KINDS

    def roll(self, number: int) -> list[Fault]:
        """A fault, together with what leads up to it where that is rare."""
        chance = self._chance
        fault = self._pick(number, chance.uniform(0.0, self._until_s), chance.random())
        if fault.call == "abort" and "process" in self._calls:
            # A handler that fails in the middle of a transaction.
            return [
                fault,
                *(Fault(number + 100 * skip, fault.at_s, "fail", "process", skip=skip) for skip in (1, 2, 5)),
            ]
        if fault.call == "objects.get":
            # A manifest that seems to be there already when it is created.
            return [fault, Fault(number + 100, fault.at_s, "store: answers with what it did itself", "objects.create")]
        if fault.call == AWAIT:
            return [replace(fault, skip=chance.randrange(_MOST_AWAITS))]
        return [replace(fault, skip=chance.choice(_SKIPS)) if fault.call else fault]

    def _pick(self, number: int, at_s: float, die: float) -> Fault:
        chance = self._chance
        after, length_s = chance.random() < 0.5, chance.choice(_LENGTHS_S)
        if die < 0.26:
            call = AWAIT if chance.random() < 0.5 else chance.choice((*self._calls, "abort", "renew"))
            return Fault(number, at_s, "kill", call, after, chance.choice(_RESTARTS_S))
        if die < 0.40:
            call = chance.choice((AWAIT, AWAIT, "commit", "commit", "poll", "produce", *self._calls))
            return Fault(number, at_s, "freeze", call, after, length_s)
        if die < 0.54:
            return Fault(number, at_s, "fail", chance.choice(self._failing), after)
        if die < 0.68:
            return Fault(number, at_s, chance.choice(COMMIT_KINDS), "commit", length_s=length_s)
        if die < 0.78 and self._stores:
            return self._of_a_store(number, at_s, length_s)
        if die < 0.78:
            kind = chance.choice(WRITE_KINDS)
            return Fault(number, at_s, kind, kind.partition(":")[0], after)
        call = AWAIT if chance.random() < 0.5 else ""
        return Fault(number, at_s, chance.choice(self._world), call, length_s=length_s)

    def _of_a_store(self, number: int, at_s: float, length_s: float) -> Fault:
        call = self._chance.choice(self._stores)
        kind = self._chance.choice(STORE_KINDS if call == "objects.create" else STORE_KINDS[:-1])
        return Fault(number, at_s, kind, call, length_s=length_s)


class Plan:
    """The faults still to come, a count of those that struck, and of the tight places that a run came into."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        faults = sorted(faults, key=lambda fault: fault.at_s)
        self._by_call: dict[str, list[Fault]] = {}
        self._passed: Counter[int] = Counter()  # by a fault's identity: numbers may come twice
        self.others: list[Fault] = []
        for fault in faults:
            if fault.call:
                self._by_call.setdefault(fault.call, []).append(fault)
            else:
                self.others.append(fault)
        self.struck: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.places: set[tuple[str, int]] = set()
        """File and line of the awaits at which something struck."""
        self.strikes_awaits = AWAIT in self._by_call

    def due(self, call: str, now_s: float, *, after: bool = False) -> Fault | None:
        """The fault that strikes this call now, taken off the plan."""
        waiting = self._by_call.get(call)
        if not waiting:
            return None
        for at, fault in enumerate(waiting):
            if fault.at_s > now_s:
                return None  # they are in the order of their times
            if fault.after is after or call == AWAIT:
                if self._passed[id(fault)] < fault.skip:
                    self._passed[id(fault)] += 1
                    continue
                del waiting[at]
                self.strikes_awaits = bool(self._by_call.get(AWAIT))
                self.note(fault)
                return fault
        return None

    def note(self, fault: Fault) -> None:
        self.struck[fault.name] += 1

    def meet(self, what: str) -> None:
        self.met[what] += 1

    def end(self) -> None:
        """From now on nothing goes wrong any more."""
        self._by_call.clear()
        self.strikes_awaits = False
