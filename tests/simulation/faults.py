"""What goes wrong in a run, drawn from its seed before it begins, so that a fault can be left out and the rest kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

BROKER_CALLS = (
    "start", "poll", "begin", "produce", "commit", "abort", "renew", "pause", "resume", "seek", "positions",
    "stable_offsets", "end_offsets", "begin_offsets", "topic_id", "read", "delete_records", "close",
)  # fmt: skip
FAILING_CALLS = (
    "begin", "produce", "renew", "stable_offsets", "end_offsets", "begin_offsets", "topic_id", "read", "delete_records",
    "process",
)  # fmt: skip
"""Calls that may raise TransientError, by the port and by the handlers' contract."""
LOCAL_CALLS = frozenset({"poll", "begin", "pause", "resume", "seek", "positions", "process"})
"""Calls that take their time once, not there and back: most stay within the process."""
TABLE_CALLS = ("table.positions", "table.put")
OBJECT_CALLS = ("objects.put", "objects.create", "objects.get", "objects.list")
STORE_CALLS = (*TABLE_CALLS, *OBJECT_CALLS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: from `at_s` on it lets `skip` calls that it fits go by, and strikes the next, once.

    `call` is empty for what befalls a process or the cluster and not a call.
    """

    number: int
    at_s: float
    kind: str
    call: str = ""
    after: bool = False
    length_s: float = 0.0
    skip: int = 0

    def __str__(self) -> str:
        where = f" {'after' if self.after else 'before'} {self.call}" if self.call else ""
        length = f" for {self.length_s:.2f} s" if self.length_s else ""
        skipped = f", {self.skip} skipped" if self.skip else ""
        return f"#{self.number} {self.kind}{where} from {self.at_s:.2f} s{skipped}{length}"

    @property
    def name(self) -> str:
        """What the counts are kept by."""
        return f"{self.kind} {'after' if self.after else 'before'} {self.call}" if self.call else self.kind


COMMIT_KINDS = (
    "commit: request lost", "commit: answer lost", "commit: arrives late", "commit: refused",
    "commit: fenced, not done", "commit: fenced, done",
)  # fmt: skip
PROCESS_KINDS = ("clock jump", "scale down", "evict", "shuffle", "usurp", "coordinator slow")
_LENGTHS_S = (0.2, 1.0, 2.5, 4.5, 9.0)
"""Shorter and longer than a session, a transaction's time-out, and max.poll.interval."""

_SKIPS = (0, 0, 1, 2, 5)


def draw(chance: Random, until_s: float, most: int, calls: Sequence[str]) -> list[Fault]:
    """Up to `most` faults over `until_s` seconds; `calls` are those that the runtime under test makes."""
    failing = [call for call in calls if call in FAILING_CALLS or call in STORE_CALLS]
    if "process" in calls:
        failing += ["process"] * len(failing)  # what most aborts come from
    faults = []
    for number in range(chance.randint(0, most)):
        at_s, die = chance.uniform(0.0, until_s), chance.random()
        after, length_s = chance.random() < 0.5, chance.choice(_LENGTHS_S)
        if die < 0.30:
            call = chance.choice((*calls, "abort", "renew"))
            fault = Fault(number, at_s, "kill", call, after, chance.choice((0.0, 0.5, 4.0)))
        elif die < 0.45:
            call = chance.choice(("commit", "commit", "poll", "produce", *calls))
            fault = Fault(number, at_s, "freeze", call, after, length_s)
        elif die < 0.60:
            fault = Fault(number, at_s, "fail", chance.choice(failing), after)
        elif die < 0.80:
            fault = Fault(number, at_s, chance.choice(COMMIT_KINDS), "commit", length_s=chance.choice(_LENGTHS_S))
        elif die < 0.83 and (late := [call for call in calls if call in ("table.put", "objects.create")]):
            kind = chance.choice(("store: arrives late", "store: answers itself"))
            fault = Fault(number, at_s, kind, late[0], length_s=length_s)
        elif die < 0.83:
            fault = Fault(number, at_s, "abort: fenced", "abort", after)
        elif die < 0.86:
            fault = Fault(number, at_s, "produce: half", "produce")
        else:
            kind = chance.choice(PROCESS_KINDS)
            fault = Fault(number, at_s, kind, length_s=length_s)
        if fault.call == "abort" and "process" in calls:
            # Aborts are rare: what waits for one comes with what leads to one, a handler that fails in mid-transaction.
            faults.append(fault)
            faults += [Fault(number + 100 * skip, at_s, "fail", "process", skip=skip) for skip in (1, 2, 5)]
        elif fault.call == "objects.get":
            # So is reading a manifest: it comes with one that seems to be there already when it is created.
            faults += [fault, Fault(number + 100, at_s, "store: answers itself", "objects.create")]
        else:
            faults.append(replace(fault, skip=chance.choice(_SKIPS)) if fault.call else fault)
    return sorted(faults, key=lambda fault: fault.at_s)


class Plan:
    """The faults still to come, and a count of those that struck."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._by_call: dict[str, list[Fault]] = {}
        self.others: list[Fault] = []
        for fault in faults:
            if fault.call:
                self._by_call.setdefault(fault.call, []).append(fault)
            else:
                self.others.append(fault)
        self.struck: Counter[str] = Counter()

    def due(self, call: str, now_s: float, *, after: bool) -> Fault | None:
        """The fault that strikes this call now, taken off the plan."""
        waiting = self._by_call.get(call)
        if not waiting:
            return None
        for at, fault in enumerate(waiting):
            if fault.at_s > now_s:
                return None
            if fault.after is after:
                if fault.skip > 0:
                    waiting[at] = replace(fault, skip=fault.skip - 1)
                    continue
                del waiting[at]
                self.note(fault)
                return fault
        return None

    def note(self, fault: Fault) -> None:
        self.struck[fault.name] += 1

    def end(self) -> None:
        """From now on nothing goes wrong any more."""
        self._by_call.clear()
