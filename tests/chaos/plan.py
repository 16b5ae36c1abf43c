"""What befalls whom, drawn from a seed: each lane is one part's own series of faults, all lanes run side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

SESSION_S = 6.0
"""After how long without a heartbeat the broker gives a member up; a frozen one must sleep longer."""

SERVICE_FAULTS = ("kill -9", "SIGTERM", "SIGSTOP past the session")
STAGES = ("dedup", "enrich", "sentiment", "sink-postgres", "sink-s3")
"""Services whose number of processes is scaled."""
SERVICES = ("ingest", *STAGES, "gateway")
MID_TRANSACTION = "kill -9 in mid-transaction"
"""At its failpoint; the others strike whenever they strike."""
SCALING = "1 -> 3 -> 1"
CONTROLLER = "controller"
STACK = "stack"
OBJECTS = "object store"
STORES = ("postgres", "registry")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` befalls `target`: a service, a part of the stack, or the object store.

    Attributes:
        wait_s: how long after the one before it has been overcome; of the object store, after it was over.
        length_s: how long it stays away, or frozen.
    """

    kind: str
    target: str
    wait_s: float
    length_s: float = 0.0


def once(seed: int, nodes: Sequence[str]) -> dict[str, list[Fault]]:
    """Every fault once: each lane in an order of its own."""
    chance = Random(f"chaos {seed}")
    lanes = {service: [_service_fault(chance, kind, service) for kind in SERVICE_FAULTS] for service in SERVICES}
    lanes["dedup"].append(_scaling(chance, "dedup"))
    lanes[STACK] = [_stack_fault(chance, part) for part in (*nodes, *([CONTROLLER] if len(nodes) > 1 else []), *STORES)]
    lanes[OBJECTS] = [_objects_fault(chance) for _ in range(2)]
    for lane in lanes.values():
        chance.shuffle(lane)
    return lanes


def endless(seed: int, lane: str, nodes: Sequence[str]) -> Iterator[Fault]:
    """One lane's faults, for as long as somebody asks for more."""
    chance = Random(f"chaos {seed} {lane}")
    parts = (*nodes, *([CONTROLLER] if len(nodes) > 1 else []), *STORES)
    while True:
        if lane == STACK:
            yield _stack_fault(chance, chance.choice(parts))
        elif lane == OBJECTS:
            yield _objects_fault(chance)
        elif lane in STAGES and chance.random() < 0.2:
            yield _scaling(chance, lane)
        else:
            yield _service_fault(chance, chance.choice(SERVICE_FAULTS), lane)


def _service_fault(chance: Random, kind: str, service: str) -> Fault:
    frozen_s = SESSION_S + chance.uniform(1.0, 4.0) if kind.startswith("SIGSTOP") else 0.0
    return Fault(kind, service, chance.uniform(1.0, 5.0), frozen_s)


def _scaling(chance: Random, service: str) -> Fault:
    return Fault(SCALING, service, chance.uniform(1.0, 3.0), SESSION_S + chance.uniform(1.0, 3.0))


def _stack_fault(chance: Random, part: str) -> Fault:
    return Fault("kill -9 and restart", part, chance.uniform(1.0, 4.0), chance.uniform(0.2, 3.0))


def _objects_fault(chance: Random) -> Fault:
    return Fault("connections cut", OBJECTS, chance.uniform(5.0, 15.0), chance.uniform(0.5, 4.0))
