"""A stack that services can start on: everything answers, topics are there, schemas are registered."""

import asyncio
import os
from collections.abc import Mapping

from penstock.local.report import Report
from penstock.local.stack import Stack, Up
from penstock.local.state import State
from penstock.schema.admin import apply_all, partitions_asked


def bring_up(
    stack: Stack, report: Report, asked_ports: Mapping[str, int] | None = None, nodes: int | None = None
) -> Up:
    """Stack.up, and what a service needs on top; harmless on a stack that is up already.

    Raises:
        PenstockError: a part did not start; or one refuses a topic or a schema, and then all parts stay up.
    """
    partitions = partitions_asked(os.environ)

    def apply(state: State) -> None:
        applied = asyncio.run(apply_all(state.bootstrap_servers, state.schema_registry_url, partitions=partitions))
        for problem in applied.problems:
            report.say("topics", problem)

    return stack.up(asked_ports, finish=apply, nodes=nodes)
