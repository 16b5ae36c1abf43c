"""When a transaction is committed: soon when drained, rarely when busy."""

from penstock.stream.pace import MAX_OPEN_S, MIN_INTERVAL_S, Pace

IDLE_POLL_S = 0.25


def test_nothing_is_due_before_a_transaction_began() -> None:
    assert not Pace(IDLE_POLL_S).due(100.0, drained=True)


def test_a_drained_input_commits_at_once_when_the_last_commit_is_long_ago() -> None:
    pace = Pace(IDLE_POLL_S)
    pace.began(5.0)
    assert pace.due(5.0, drained=True)


def test_a_busy_input_commits_only_when_the_transaction_is_old() -> None:
    pace = Pace(IDLE_POLL_S)
    pace.began(5.0)
    assert not pace.due(5.0 + MAX_OPEN_S * 0.99, drained=False)
    assert pace.due(5.0 + MAX_OPEN_S * 1.01, drained=False)


def test_drained_commits_keep_the_least_distance() -> None:
    pace = Pace(IDLE_POLL_S)
    pace.began(5.0)
    pace.committed(5.0, took_s=0.001)
    pace.began(5.001)
    assert not pace.due(5.002, drained=True)
    assert pace.due(5.0 + MIN_INTERVAL_S, drained=True)


def test_a_slow_broker_is_asked_less_often() -> None:
    pace = Pace(IDLE_POLL_S)
    for _ in range(100):
        pace.began(5.0)
        pace.committed(5.0, took_s=0.03)
    pace.began(5.0)
    assert not pace.due(5.0 + MIN_INTERVAL_S, drained=True)
    assert pace.due(5.061, drained=True)


def test_a_poll_waits_no_longer_than_until_the_next_commit() -> None:
    pace = Pace(IDLE_POLL_S)
    pace.began(5.0)
    pace.committed(5.0, took_s=0.0)
    pace.began(5.0)
    assert 0 < pace.poll_timeout_s(5.0) <= MIN_INTERVAL_S
    assert pace.poll_timeout_s(6.0) == 0.0
