"""The whole system as processes on a stack of its own: started, killed at a failpoint, started again, judged."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.cli.endpoints import of_stack
from penstock.cli.supervisor import SERVICES
from penstock.local.state import StateFile

ALL = ("dedup", "enrich", "sentiment", "sink-postgres", "sink-s3")
"""The services between events.raw and the stores."""

_START_S = 60.0
_DRAIN_S = 30.0
_QUICK = {"PENSTOCK_SINK_S3_FLUSH_IDLE_S": "0.3", "PENSTOCK_SINK_S3_FLUSH_AGE_S": "2"}
"""So that the last files close soon; a test need not wait for what is only a matter of settings."""


@dataclass
class Pipeline:
    """Services by name, and the manifests of everything that was replayed into them."""

    data: Path
    folder: Path
    environment: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    manifests: list[Path] = field(default_factory=list)

    def start(self, *names: str, failpoints: Mapping[str, str] | None = None) -> None:
        """Starts services, each to die at its failpoint if it has one, and waits until all are ready."""
        for name in names:
            self.launch(name, (failpoints or {}).get(name, ""))
        self.await_ready(*names)

    def await_ready(self, *names: str) -> None:
        for name in names:
            self._wait_ready(name)

    def launch(self, name: str, failpoint: str) -> None:
        """Starts a service and does not wait for it; an empty failpoint is none."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *SERVICES[name]],
                env=self._environment(failpoint),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ended(self) -> set[str]:
        """The services that run no more."""
        return {name for name, process in self.processes.items() if process.poll() is not None}

    def killed(self, name: str, timeout_s: float = 90.0) -> None:
        """Waits until a service died at its failpoint. Only a failpoint sends it SIGKILL here."""
        code = self.processes.pop(name).wait(timeout_s)
        assert code == -signal.SIGKILL, f"{name} ended with {code}, not by its failpoint:\n{self.tail(name)}"

    def stop(self, *names: str) -> None:
        """Has these services drain, or all; each must end well."""
        running = {name: self.processes.pop(name) for name in names or tuple(self.processes)}
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in running.items():
            try:
                codes[name] = process.wait(_DRAIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        assert set(codes.values()) <= {0}, f"{codes}:\n" + "\n".join(self.tail(name) for name in codes if codes[name])

    def replay(self, file: Path, source: str, *options: str, duplicate: float = 0.15) -> dict[str, Any]:
        """Sends a recording to its end; returns its manifest."""
        manifest = self.folder / f"{source}-{len(self.manifests)}.json"
        self.manifests.append(manifest)
        words = ["replay", str(file), "--source", source, "--duplicate", str(duplicate), "--manifest", str(manifest)]
        done = subprocess.run(
            [sys.executable, "-m", "services.ingest", *words, *options],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(manifest.read_text())
        return found

    def ledger(self, timeout: str = "90s") -> dict[str, Any]:
        """The verdict on everything so far, against all manifests."""
        expected = [word for manifest in self.manifests for word in ("--expect", str(manifest))]
        done = self.penstock("ledger", "--json", "--timeout", timeout, *expected)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        assert verdict["balanced"] == (done.returncode == 0)
        return verdict

    def balances(self) -> dict[str, Any]:
        """Its sources, once everything balances."""
        verdict = self.ledger()
        assert verdict["problems"] == [], "\n".join(self.tail(name) for name in ALL)
        sources: dict[str, Any] = verdict["sources"]
        return sources

    def penstock(self, *words: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, or to its failpoint if it has one."""
        return subprocess.run(
            [sys.executable, "-m", "penstock.cli", "--data", str(self.data), *words],
            env=self._environment(failpoint),
            capture_output=True,
            text=True,
            check=False,
        )

    def tail(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return f"--- {name}\n{path.read_text(errors='replace')[-3000:]}" if path.exists() else ""

    def _environment(self, failpoint: str = "") -> dict[str, str]:
        return {**os.environ, **_QUICK, **self.environment, "PENSTOCK_FAILPOINT": failpoint}

    def _wait_ready(self, name: str) -> None:
        process = self.processes[name]
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            code = process.poll()
            if code == -signal.SIGKILL:
                return  # it had something to do at once, and died at its failpoint
            assert code is None, f"{name} ended with {code}:\n{self.tail(name)}"
            if self._is_ready(name, process.pid):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is not ready after {_START_S:.0f} s:\n{self.tail(name)}")

    def _is_ready(self, name: str, pid: int) -> bool:
        """Ready by its own word; a file that a killed process left behind tells nothing."""
        for path in (self.data / "run").glob(f"{name}.*.json"):
            try:
                found = json.loads(path.read_text())
                if found["pid"] != pid:
                    continue
                with urllib.request.urlopen(f"{found['http']}/readyz", timeout=5) as answer:  # noqa: S310  our own
                    return bool(answer.status == 200)
            except (OSError, ValueError):
                continue
        return False


@contextmanager
def pipeline(folder: Path) -> Iterator[Pipeline]:
    """A stack of its own with its topics applied; no service runs yet. Everything is gone at the end."""
    data = folder / "data"
    made = Pipeline(data, folder, {"PENSTOCK_PARTITIONS": "3"})
    try:
        up = made.penstock("up")
        assert up.returncode == 0, up.stdout + up.stderr
        state = StateFile(data).read()
        assert state is not None
        made.environment = {**made.environment, **of_stack(state, data).environment()}
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
        made.penstock("down", "--volumes")
