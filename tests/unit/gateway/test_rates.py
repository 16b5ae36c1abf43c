"""Rates out of counters: restarts, gaps, and what was counted before anybody looked."""

from services.gateway.rates import WRITTEN, Rates
from services.gateway.scrape import Figures, Instance


def look(
    counts: dict[tuple[str, str], float], *, pid: int = 1, slot: int = 0, lag: dict[str, float] | None = None
) -> tuple[Instance, Figures]:
    return Instance("dedup", slot, "http://nowhere", pid), Figures(counts, lag or {})


def dedup(records: float, *, pid: int = 1, slot: int = 0) -> tuple[Instance, Figures]:
    return look({("dedup", "in"): records}, pid=pid, slot=slot)


def test_a_rate_is_what_was_counted_since_some_seconds_ago() -> None:
    rates = Rates(window_s=5)
    for second in range(20):
        rates.add(second, [dedup(100 * second if second < 10 else 1000 + 10 * (second - 10))])
    assert rates.stage("dedup").per_s == 10
    assert rates.stage("dedup").total == 900 + 100 + 90


def test_what_was_counted_before_the_first_look_makes_no_leap() -> None:
    rates = Rates()
    rates.add(0, [dedup(1_000_000)])
    known = [rates.known]
    rates.add(1, [dedup(1_000_010)])
    known.append(rates.known)
    assert known == [False, True]
    assert rates.stage("dedup").per_s == 10
    assert rates.stage("dedup").total == 10


def test_a_restarted_process_counts_from_nothing() -> None:
    rates = Rates()
    rates.add(0, [dedup(1000)])
    rates.add(1, [dedup(1100)])
    rates.add(2, [dedup(40, pid=2)])
    rates.add(3, [dedup(2000, pid=3)])
    assert rates.stage("dedup").total == 100 + 40 + 2000


def test_a_counter_that_fell_has_started_anew_even_if_the_process_has_no_number() -> None:
    rates = Rates()
    rates.add(0, [dedup(1000, pid=0)])
    rates.add(1, [dedup(5, pid=0)])
    assert rates.stage("dedup").total == 5


def test_a_service_that_missed_a_look_catches_up_without_a_loss() -> None:
    rates = Rates(window_s=5)
    rates.add(0, [dedup(0)])
    rates.add(1, [dedup(100)])
    rates.add(2, [])
    rates.add(3, [dedup(300)])
    assert rates.stage("dedup").total == 300
    assert rates.stage("dedup").per_s == 100


def test_several_processes_of_a_stage_add_up() -> None:
    rates = Rates()
    rates.add(0, [dedup(0), dedup(0, slot=1)])
    rates.add(1, [dedup(30), dedup(12, slot=1)])
    assert rates.stage("dedup").per_s == 42


def test_a_stage_without_an_input_is_measured_by_its_output() -> None:
    rates = Rates()
    rates.add(0, [look({("ingest", "out"): 0})])
    rates.add(1, [look({("ingest", "out"): 7})])
    assert rates.stage("ingest").per_s == 7
    assert rates.stage("ingest").lag is None


def test_lag_is_that_of_the_last_look_over_all_processes() -> None:
    rates = Rates()
    rates.add(0, [look({}, lag={"dedup": 5}), look({}, slot=1, lag={"dedup": 6})])
    assert rates.stage("dedup").lag == 11
    rates.add(1, [look({}, lag={"dedup": 0})])
    assert rates.stage("dedup").lag == 0


def test_the_share_of_duplicates_is_that_of_the_last_minute() -> None:
    rates = Rates(share_window_s=60)
    assert rates.duplicate_share() is None
    received = duplicates = 0
    for second in range(200):
        received += 10
        duplicates += 5 if second > 120 else 0
        rates.add(second, [look({("dedup", "in"): received, ("dedup", "duplicate"): duplicates})])
    assert rates.duplicate_share() == 0.5
    assert rates.duplicates() == 5 * 79


def test_looks_older_than_any_window_are_forgotten() -> None:
    rates = Rates()
    for second in range(10_000):
        rates.add(second, [dedup(second)])
    assert len(rates._moments) < 100


def test_what_a_replay_writes_counts_as_coming_in() -> None:
    rates = Rates()
    for second in range(3):
        rates.add(second, [look({("ingest", "out"): second}), look({WRITTEN: 1000 + 50 * second}, slot=1)])
    assert rates.stage("ingest").per_s == 50
