"""The registry's archive is unpacked once, and again when what lies there is not what was in it."""

import tarfile
from pathlib import Path

from penstock.local.registry import unpack


def test_a_file_that_changed_makes_all_of_it_be_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "runner.jar").write_bytes(b"the real one")
    asked: list[Path] = []

    def archive() -> Path:
        asked.append(tmp_path / "registry.tar.gz")
        with tarfile.open(asked[-1], "w:gz") as tar:
            tar.add(tmp_path / "runner.jar", "lib/runner.jar")
        return asked[-1]

    target = tmp_path / "unpacked"
    assert unpack(archive, target) == unpack(archive, target) == target
    assert len(asked) == 1
    (target / "lib" / "runner.jar").write_bytes(b"not the same")  # its size alone gives nothing away
    unpack(archive, target)
    assert (target / "lib" / "runner.jar").read_bytes() == b"the real one"
