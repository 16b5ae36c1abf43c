"""The contenders of our own on real Kafka, small, and one that cheats."""

import pytest

from loadtests.command import BARE, STAGE
from loadtests.comparison import Contender, compare
from tests.conftest import RunningStack

pytestmark = pytest.mark.integration

RECORDS = 500


def test_bare_loop_stage_and_dedup_copy_every_record_whole(stack: RunningStack) -> None:
    contenders = [
        BARE,
        Contender("at least once", "loadtests.bare", exactly_once=False),
        STAGE,
        Contender("dedup", "loadtests.dedup", seen=8_000),
    ]
    runs = compare(stack.bootstrap_servers, contenders, RECORDS, size_bytes=100, turns=1)
    assert list(runs) == ["bare", "at least once", "penstock", "dedup"]
    for [run] in runs.values():
        assert run.headers
        assert run.timestamps
        assert run.per_s > 0
        assert run.cpu_s_per_million > 0
    assert runs["dedup"][0].fingerprint_bytes is not None


def test_who_doubles_a_record_is_given_no_rate(stack: RunningStack) -> None:
    doubling = Contender("doubling", "tests.integration.loadtests.doubling")
    with pytest.raises(SystemExit, match=f"doubling was given {RECORDS} records and left {2 * RECORDS}"):
        compare(stack.bootstrap_servers, [doubling], RECORDS, size_bytes=100, turns=1)
