"""The lock, and what a download that goes wrong says; a server of our own stands in for the repository."""

import gc
import hashlib
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli.progress import ProgressReport
from penstock.local.errors import StackError
from penstock.local.jars import JarCache, Locked, read_lock

CONTENT = b"not really a jar" * 1000
JAR = Locked("org.example", "thing", "jar", "", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Maven repository that is served; `thing` is in it."""
    root = tmp_path / "repository"
    folder = root / "org/example/thing/1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PENSTOCK_MAVEN_MIRROR", f"http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("penstock.local.download._FIRST_PAUSE_S", 0.0)
        yield folder
        server.shutdown()
        thread.join()
    with warnings.catch_warnings():
        # jgo leaves the response of a refused request to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def ensure(cache: Path, told: list[tuple[int, int]] | None = None) -> Path:
    def tell(size: int, files: int) -> None:
        if told is not None:
            told.append((size, files))

    return JarCache(cache, threading.Event()).ensure([JAR], tell)[0]


def test_the_lock_names_kafka_and_one_archive_of_the_registry() -> None:
    kafka = read_lock("kafka")
    assert {("kafka_2.13", "4.3.1"), ("kafka-tools", "4.3.1"), ("kafka-clients", "4.3.1")} <= {
        (locked.artifact, locked.version) for locked in kafka
    }
    assert len({locked.file_name for locked in kafka}) == len(kafka)
    (registry,) = read_lock("registry")
    assert (registry.packaging, registry.classifier) == ("tar.gz", "all")


def test_a_fetched_file_is_verified_and_kept(tmp_path: Path, repository: Path) -> None:
    told: list[tuple[int, int]] = []
    path = ensure(tmp_path / "cache", told)
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), 1)
    (repository / "thing-1.0.jar").unlink()
    assert ensure(tmp_path / "cache") == path


def test_another_file_than_the_locked_one_is_refused(tmp_path: Path, repository: Path) -> None:
    (repository / "thing-1.0.jar").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(StackError, match=r"cannot download org.example:thing:1.0 .*another SHA-256"):
        ensure(tmp_path / "cache")
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_a_file_that_nobody_has_is_named(tmp_path: Path, repository: Path) -> None:
    (repository / "thing-1.0.jar").unlink()
    with pytest.raises(StackError, match=r"cannot download org.example:thing:1.0 (.|\n)*PENSTOCK_MAVEN_MIRROR"):
        ensure(tmp_path / "cache")


def test_a_full_disk_is_told_before_the_download(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 1_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Full)
    with pytest.raises(StackError, match=r"no disk space for the downloads: .* has 1 MB free, 50 MB are needed"):
        ensure(tmp_path / "cache")


def test_two_commands_fill_one_cache_at_once(tmp_path: Path, repository: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(ensure(tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in found] == [CONTENT] * 4


@pytest.mark.parametrize("terminal", [False, True])
def test_whoever_waits_sees_how_far_a_download_is(tmp_path: Path, repository: Path, terminal: bool) -> None:
    content = CONTENT * 160
    (repository / "thing-1.0.jar").write_bytes(content)
    large = replace(JAR, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    screen = StringIO()
    console = Console(file=screen, force_terminal=terminal, width=200)
    with ProgressReport(console) as report:
        cache = JarCache(tmp_path / "cache", threading.Event())
        cache.ensure([large], lambda size, files: report.fetched("kafka", size, len(content), files, 1))
    if terminal:
        assert "kafka: downloading" in screen.getvalue()
        assert "0/1 files" in screen.getvalue()
    else:
        first, *_, last = screen.getvalue().splitlines()
        assert re.fullmatch(r"kafka: downloading, [0-3] of 3 MB, 0/1 files", first)
        assert last == "kafka: downloading, 3 of 3 MB, 1/1 files"
