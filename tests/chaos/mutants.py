"""`python -m tests.chaos.mutants MUTANT MODULE...`: a service without one of its mechanisms, as a process.

What the run has to catch: a judge that never failed proves nothing.
"""

import runpy
import sys
from collections.abc import Callable

from penstock.stream import kafka_config, loop
from tests.simulation.mutants import NeverRestores


def never_restores() -> None:
    """Dedup that forgets at every start what it has seen."""
    setattr(loop, "Restore", NeverRestores)  # noqa: B010  mypy is right that this is not done


def reads_uncommitted() -> None:
    """A stage that reads what may still be rolled back."""
    committed = kafka_config.reader

    def reader(bootstrap_servers: str, client_id: str) -> kafka_config.Config:
        return committed(bootstrap_servers, client_id) | {"isolation.level": "read_uncommitted"}

    kafka_config.reader = reader


MUTANTS: dict[str, Callable[[], None]] = {"never-restores": never_restores, "reads-uncommitted": reads_uncommitted}

if __name__ == "__main__":
    name, module, *words = sys.argv[1:]
    MUTANTS[name]()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
