"""scripts/venv installs what the asked lock names, once, and lets the script that sourced it go on."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose tools only write down that they were called."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv", tmp_path / "scripts")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("python", "uv", "penstock"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>calls\n')
        (tools / name).chmod(0o755)
    return tmp_path


def go_on(clone: Path, lock: str) -> list[str]:
    """What was installed when a script, strict as all of ours, sources it and goes on."""
    (clone / "calls").write_text("")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ". scripts/venv; echo went on"],
        cwd=clone, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PENSTOCK_LOCK": lock},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr
    return (clone / "calls").read_text().splitlines()


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_the_first_time_installs_the_lock_and_the_second_does_nothing(clone: Path, lock: str) -> None:
    assert any(f"requirements/{lock}.txt" in call for call in go_on(clone, lock))
    assert go_on(clone, lock) == []


def test_what_has_the_tools_of_the_tests_can_run_the_demo(clone: Path) -> None:
    go_on(clone, "dev")
    assert go_on(clone, "run") == []


def test_what_runs_the_demo_gets_the_tools_of_the_tests_when_they_are_asked_for(clone: Path) -> None:
    go_on(clone, "run")
    assert any("requirements/dev.txt" in call for call in go_on(clone, "dev"))


def test_a_changed_lock_is_installed_anew(clone: Path) -> None:
    go_on(clone, "run")
    with (clone / "requirements" / "run.txt").open("a") as lock:
        lock.write("# another\n")
    assert any("requirements/run.txt" in call for call in go_on(clone, "run"))
