"""`penstock logs -f` shows what comes until Ctrl-C, which is its ordinary end."""

import signal
import subprocess
import sys
from pathlib import Path

from penstock.local.part import log_path
from penstock.local.state import StateFile, new_state


def test_following_goes_on_until_ctrl_c_and_ends_well(tmp_path: Path) -> None:
    StateFile(tmp_path).write(new_state(tmp_path))
    log = log_path(tmp_path, "kafka")
    log.parent.mkdir()
    log.write_text("first\n")
    command = [sys.executable, "-m", "penstock.cli", "--data", str(tmp_path), "logs", "-f", "kafka"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"first\n"
        with log.open("a") as more:
            more.write("second\n")
        assert process.stdout.readline() == b"second\n"
        process.send_signal(signal.SIGINT)
        assert (process.stdout.read(), process.stderr.read(), process.wait()) == (b"", b"", 0)
