"""What tests of several folders share: the embedded stack, of one broker and of three, started once for all of them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from penstock.local.state import State, StateFile

# How long an example takes says something about the machine, not about what is tested.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a script, and so would be every process of a test: deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """For `-n`: tests that share a stack go to one worker, a file whose tests bring their own to either."""

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)


def lane(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    if file.startswith("tests/simulation/"):
        return "simulation"
    if file.startswith("tests/contract/"):
        return "three brokers" if "three" in nodeid.partition("[")[2] else "one broker"
    shared = re.match(r"tests/integration/\w+/|tests/e2e/test_dashboard", file)
    return "one broker" if shared else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Lanes:
    return Lanes(config, log)


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a stack comes first, then what may take longest, so that no worker waits for the other in the end."""
    items.sort(key=lambda item: (lane(item.nodeid).endswith(".py"), -_may_take_s(item)))


_TOLD = pytest.StashKey[list[str]]()


def tell(config: pytest.Config, lines: list[str]) -> None:
    """Has these lines printed at the end of the run, by whichever process prints it."""
    config.stash[_TOLD] = lines
    if hasattr(config, "workeroutput"):
        config.workeroutput["told"] = lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if lines := getattr(node, "workeroutput", {}).get("told"):
        node.config.stash[_TOLD] = lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_TOLD, []):
        terminalreporter.write_line(line)


def _may_take_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the parts answer. It is shared: use topics, groups, databases and prefixes of your own names."""

    bootstrap_servers: str
    schema_registry_url: str
    postgres_dsn: str
    object_store_url: str
    fingerprint_key: str
    data: Path


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Real Kafka, registry, Postgres and a folder of objects; gone at the end, data and all.

    PENSTOCK_TEST_STACK=<data folder> uses a stack that already runs there, and leaves it running.
    """
    with _running(os.environ.get("PENSTOCK_TEST_STACK"), tmp_path_factory, nodes=1) as running:
        yield running


@pytest.fixture(scope="session")
def stack_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Likewise, with three brokers: `penstock up --nodes 3`. Who stops one brings it back.

    PENSTOCK_TEST_STACK_OF_THREE=<data folder> uses one that already runs there.
    """
    with _running(os.environ.get("PENSTOCK_TEST_STACK_OF_THREE"), tmp_path_factory, nodes=3) as running:
        yield running


@contextmanager
def _running(kept: str | None, folders: pytest.TempPathFactory, nodes: int) -> Iterator[RunningStack]:
    data = Path(kept) if kept else folders.mktemp("stack") / "data"
    try:
        _penstock(data, "up", "--nodes", str(nodes))
        state = StateFile(data).read()
        assert state is not None
        yield _endpoints(state, data)
    finally:
        if not kept:
            _penstock(data, "down", "--volumes")


def _endpoints(state: State, data: Path) -> RunningStack:
    return RunningStack(
        state.bootstrap_servers,
        state.schema_registry_url,
        state.postgres_dsn,
        state.object_store_url,
        state.fingerprint_key,
        data,
    )


def _penstock(data: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "--data", data, *words],
        capture_output=True,
        text=True,
        check=False,
        # Fewer partitions than in production: quicker rebalances, and still more than one.
        env={"PENSTOCK_PARTITIONS": "3", **os.environ},
    )
    assert done.returncode == 0, f"penstock {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
