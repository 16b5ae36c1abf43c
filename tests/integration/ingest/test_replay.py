"""`python -m services.ingest replay` on real Kafka: all of it arrives, also after a kill."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.schema.admin import apply_all
from tests.conftest import RunningStack
from tests.integration.ingest.world import ROOT, WITHIN_S, Topic, environment, until, watching

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

EXCHANGE = ("samples/exchange", "--source", "exchange")
EVENTS = 428


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(stack: RunningStack) -> RunningStack:
    await apply_all(stack.bootstrap_servers, stack.schema_registry_url)
    return stack


@pytest.fixture
def raw(ready: RunningStack) -> Iterator[Topic]:
    yield from watching(ready, "events.raw")


async def start(stack: RunningStack, *arguments: str, **more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ingest", "replay", *arguments),
        cwd=ROOT,
        env=environment(stack, **more),
        stderr=asyncio.subprocess.PIPE,
    )


async def replay(stack: RunningStack, *arguments: str, **more: str) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = await start(stack, *arguments, **more)
    _, said = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_all_of_it_arrives_with_the_duplicates_that_were_asked_for(
    ready: RunningStack, raw: Topic, tmp_path: Path
) -> None:
    manifest, progress = tmp_path / "m.json", tmp_path / "p.json"
    words = ("--duplicate", "0.15", "--manifest", str(manifest), "--progress", str(progress))
    code, said = await replay(ready, *EXCHANGE, *words)
    assert (code, said) == (
        0,
        "exchange: 492 events sent, 428 of them different (64 duplicates planted), 15,979 of 16,407 lines skipped\n",
    )
    told = json.loads(manifest.read_text())
    assert (told["sent"], told["unique"], told["complete"], told["repeated"]) == (492, EVENTS, True, False)
    assert json.loads(progress.read_text())["share"] == 1.0
    raw.read_until(lambda: len(raw.of("exchange")) >= 492)
    raw.read_rest()
    keys = Counter(message.key() for message in raw.of("exchange"))
    assert (sum(keys.values()), len(keys)) == (492, EVENTS)


async def test_a_replay_that_was_killed_is_run_again_to_the_same_events(
    ready: RunningStack, raw: Topic, tmp_path: Path
) -> None:
    manifest, progress = tmp_path / "m.json", tmp_path / "p.json"
    words = ("--manifest", str(manifest), "--progress", str(progress))
    killed = await start(ready, *EXCHANGE, *words, "--rate", "200/s")
    await until(lambda: progress.exists() and json.loads(progress.read_text())["sent"] > 20)
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    assert json.loads(manifest.read_text())["complete"] is False

    assert (await replay(ready, *EXCHANGE, *words))[0] == 0
    told = json.loads(manifest.read_text())
    assert (told["sent"], told["unique"], told["complete"], told["repeated"]) == (EVENTS, EVENTS, True, True)
    raw.read_until(lambda: len({message.key() for message in raw.of("exchange")}) == EVENTS)
    raw.read_rest()
    assert len(raw.of("exchange")) > EVENTS
    assert len({message.key() for message in raw.of("exchange")}) == EVENTS


async def test_interrupted_it_ends_after_its_batch_and_tells_what_it_sent(
    ready: RunningStack, raw: Topic, tmp_path: Path
) -> None:
    manifest, progress = tmp_path / "m.json", tmp_path / "p.json"
    process = await start(ready, *EXCHANGE, "--rate", "100/s", "--manifest", str(manifest), "--progress", str(progress))
    await until(lambda: progress.exists() and json.loads(progress.read_text())["sent"] > 20)
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), WITHIN_S)
    told = json.loads(manifest.read_text())
    assert process.returncode == 1
    assert b"stopped before the end" in said
    assert 20 < told["sent"] < EVENTS
    assert told["complete"] is False
    raw.read_until(lambda: len(raw.of("exchange")) == told["sent"])
    raw.read_rest()
    assert len(raw.of("exchange")) == told["sent"]


@pytest.mark.parametrize(
    ("arguments", "more", "code", "told"),
    [
        (
            ("samples/README.md", "--source", "github"),
            {},
            1,
            "replay: samples/README.md:1: this is no recording of github",
        ),
        (("nowhere", "--source", "github"), {}, 1, "replay: nowhere: no such file"),
        (("samples", "--source", "nobody"), {}, 2, "invalid choice: 'nobody'"),
        (EXCHANGE, {"PENSTOCK_FINGERPRINT_KEY": "short"}, 2, "PENSTOCK_FINGERPRINT_KEY is not allowed"),
        (EXCHANGE, {"PENSTOCK_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 3, "replay: 127.0.0.1:1 does not answer"),
        (EXCHANGE, {"PENSTOCK_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}, 3, "http://127.0.0.1:1 does not answer"),
    ],
)
async def test_what_is_wrong_is_told_with_its_exit_code_and_no_traceback(
    ready: RunningStack, arguments: tuple[str, ...], more: dict[str, str], code: int, told: str
) -> None:
    found, said = await replay(ready, *arguments, **more)
    assert (found, told in said, "Traceback" in said) == (code, True, False), said
