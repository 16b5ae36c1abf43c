"""The README's commands and snippets, as they are printed there: what a newcomer copies works."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import pytest
from playwright.async_api import ConsoleMessage

from penstock.cli.supervisor import SERVICES
from tests.e2e.chromium import chromium, chromium_or_skip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
WITHIN_S = 300.0
SETTLED = "penstock ledger --timeout 280s"
"""On a busy machine it takes longer than the minute that the README's command waits."""
PRINTED = {"ingest": "127.0.0.1:8421", "gateway": "127.0.0.1:8420"}
"""The default ports, which are taken where another stack runs."""


def snippet(language: str, with_text: str) -> str:
    """The one block of a language, or of indented lines where that is "", that has a text in it."""
    fenced, indented = rf"^```{language}\n(.*?)^```$", r"((?:^    [^\n]*\n)+)"
    found = re.findall(fenced if language else indented, README, re.DOTALL | re.MULTILINE)
    (only,) = [text for text in found if with_text in text]
    return str(only)


STEPS = [line.partition(" # ")[0].strip() for line in snippet("", "penstock up  ").splitlines()]
DOORS = {
    "curl": ("", "curl -i", "HTTP/1.1 202"),
    "python": ("python", "urllib.request.Request", "202 {'accepted': 1, 'errors': []}"),
    "kafka": ("python", "confluent_kafka", "acknowledged"),
}
"""How to publish: the language of the snippet, what it is known by, and what it prints."""


class Newcomer:
    """Somebody in a terminal, in a checkout of the repository, with a stack in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        (folder / "samples").symlink_to(ROOT / "samples")
        (folder / ".venv").symlink_to(sys.prefix)

    def types(self, text: str) -> str:
        """Runs it in a shell; what it printed."""
        done = subprocess.run(
            ["bash", "-c", f"{STEPS[0]}\n{text}"],
            cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False, timeout=WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{text} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def opens_a_terminal(self, line: str) -> subprocess.Popen[bytes]:
        """Runs it until it is interrupted."""
        with (self.folder / "run.log").open("wb") as log:
            return subprocess.Popen(
                ["bash", "-c", f"{STEPS[0]}\nexec {line}"],
                cwd=self.folder, env=self._environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def publishes(self, door: str, renamed: tuple[str, str] | None = None) -> str:
        """What the snippet for one of DOORS printed; `renamed`: an id in it, and another one to use instead."""
        language, known_by, _ = DOORS[door]
        text = self._here(snippet(language, known_by))
        if renamed:
            text = text.replace(*renamed)
        if language == "":
            return self.types(text)
        (self.folder / f"{door}.py").write_text(text)
        return self.types(f'eval "$(penstock env)"\npython {door}.py')

    def at(self, service: str) -> str:
        """Where a service answers, as host and port."""
        told = json.loads((self.data / "run" / f"{service}.0.json").read_text())
        return str(told["api"]).removeprefix("http://")

    def waits_until_ready(self, services: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while self._ready() < len(SERVICES):
            log = (self.folder / "run.log").read_text
            assert services.poll() is None, log()
            assert time.monotonic() < deadline_s, log()
            time.sleep(0.1)

    def _ready(self) -> int:
        rows = json.loads(self.types("penstock services --json || true"))["services"]
        return len([row for row in rows if row["state"] == "ready"])

    def _here(self, text: str) -> str:
        for service, printed in PRINTED.items():
            text = text.replace(printed, self.at(service))
        return text

    def _environment(self) -> dict[str, str]:
        # Fewer partitions and quicker files, so that a test has less to wait for.
        quick = {"PENSTOCK_PARTITIONS": "3", "PENSTOCK_SINK_S3_FLUSH_IDLE_S": "0.3"}
        return {**os.environ, **quick, "PENSTOCK_DATA": str(self.data)}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Who has come to the third step: everything is up and runs. At the end the last one is taken."""
    made = Newcomer(tmp_path_factory.mktemp("readme"))
    _, up, run, *_, down = STEPS
    services = None
    try:
        made.types(up)
        services = made.opens_a_terminal(run)
        made.waits_until_ready(services)
        yield made
        services.send_signal(signal.SIGINT)
        assert services.wait(WITHIN_S) == 0, (made.folder / "run.log").read_text()
        made.types(down)
    finally:
        if services is not None and services.poll() is None:
            services.terminate()  # drains; a kill would leave its services behind
            services.wait(WITHIN_S)
        made.types("penstock down --volumes")


@pytest.fixture(scope="module")
def published(newcomer: Newcomer) -> dict[str, str]:
    """What each door's snippet printed, once the events are in every store."""
    printed = {door: newcomer.publishes(door) for door in DOORS if door != "curl" or shutil.which("curl")}
    newcomer.types(SETTLED)
    return printed


def test_the_steps_are_the_ones_that_are_tried_here() -> None:
    assert STEPS[:3] == [". .venv/bin/activate", "penstock up", "penstock run"]
    assert STEPS[-1] == "penstock down"


def test_the_steps_lead_to_a_balanced_ledger(newcomer: Newcomer) -> None:
    *steps, ledger = STEPS[3:-1]
    for step in steps:
        newcomer.types(step)
    newcomer.types(SETTLED)
    assert "balanced: nothing lost, nothing doubled" in newcomer.types(ledger)


@pytest.mark.parametrize("door", DOORS)
def test_an_event_can_be_published(published: dict[str, str], door: str) -> None:
    if door not in published:
        pytest.skip("no curl on the PATH")
    assert DOORS[door][2] in published[door]


async def test_sql_finds_what_was_published(newcomer: Newcomer, published: dict[str, str]) -> None:
    dsn = newcomer.types('eval "$(penstock env)"\necho $PENSTOCK_POSTGRES_DSN').strip()
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(snippet("sql", "FROM events\n"))
        assert sum(row["count"] for row in rows if row["source"] == "shop") >= len(published)
        ids = {row["id"] for row in await connection.fetch("SELECT id FROM events WHERE source = 'shop'")}
        assert ids >= {{"curl": "shop:42", "python": "shop:43", "kafka": "shop:44"}[door] for door in published}
    finally:
        await connection.close()


@pytest.mark.usefixtures("published")
def test_duckdb_counts_what_the_ledger_counts_and_no_orphan(newcomer: Newcomer) -> None:
    file = next((newcomer.data / "objects").glob("events/source=shop/**/*.parquet"))
    shutil.copy(file, file.with_stem(f"{file.stem}0"))  # as of a writer that died before its manifest
    verdict = json.loads(newcomer.types(f"{SETTLED} --json"))
    query = snippet("sql", "read_parquet").replace("'objects/", f"'{newcomer.data}/objects/")
    with duckdb.connect() as connection:
        counted = dict(connection.execute(query).fetchall())
    rows = {source: account["parquet"] for source, account in verdict["sources"].items()}
    assert counted == {source: count for source, count in rows.items() if count}


@pytest.mark.browser
async def test_a_websocket_shows_what_is_published(newcomer: Newcomer) -> None:
    """In the gateway's own page: pages of other sites are not let in."""
    path = chromium_or_skip()
    told: asyncio.Queue[ConsoleMessage] = asyncio.Queue()

    async def until(kind: str) -> dict[str, Any]:
        while True:
            said = await told.get()
            assert said.args, said.text  # the browser's own words: something was refused
            value = await said.args[0].json_value()
            if value["type"] == kind:
                return dict(value)

    async with chromium(path) as browser, asyncio.timeout(WITHIN_S):
        page = await browser.new_page()
        await page.goto(f"http://{newcomer.at('gateway')}/")
        page.on("console", told.put_nowait)
        script = snippet("javascript", "WebSocket").replace(PRINTED["gateway"], newcomer.at("gateway"))
        await page.evaluate(f"() => {{\n{script}\n}}")
        await until("cursor")
        await asyncio.to_thread(newcomer.publishes, "python", ('"43"', '"45"'))
        event = (await until("event"))["event"]
        assert (event["id"], event["text"]) == ("shop:45", "Great service!")
