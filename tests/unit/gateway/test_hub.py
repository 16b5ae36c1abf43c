"""The fan-out's promises: bounded, exact about its losses, and no client harms another."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import hub as hub_module
from services.gateway.feed import Item, Recent
from services.gateway.filters import EVERYTHING, Filter, Matcher, compile_filter, parse_filter
from services.gateway.hub import Hub, Subscriber
from tests.unit.gateway.feeding import hub, item, name

WIKIPEDIA = parse_filter({"source": "wikipedia"})


def taken(subscriber: Subscriber) -> list[str]:
    return [name(event) for event in iter(subscriber.take, None)]


def live(at: Hub, wanted: Filter = EVERYTHING) -> Subscriber:
    subscriber = at.subscribe(wanted)
    assert at.attach(subscriber, at.position)
    return subscriber


def publish(at: Hub, *items: Item) -> None:
    at.publish(items, {event.partition: event.next for event in items})


def test_an_event_is_the_same_bytes_for_every_client() -> None:
    at = hub()
    one, other = live(at), live(at)
    publish(at, item(0))
    first, second = one.take(), other.take()
    assert first is not None
    assert first is second


def test_clients_with_the_same_filter_share_one_that_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Filter] = []

    def counting(wanted: Filter) -> Matcher:
        compiled.append(wanted)
        return compile_filter(wanted)

    monkeypatch.setattr(hub_module, "compile_filter", counting)
    at = hub()
    clients = [live(at, parse_filter({"source": ["wikipedia"]})) for _ in range(5)]
    clients.append(live(at))
    assert compiled == [WIKIPEDIA, EVERYTHING]
    assert at.filters == 2
    for client in clients:
        at.unsubscribe(client)
    assert at.filters == 0


def test_a_filter_is_asked_once_per_event_however_many_clients_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def counting(_wanted: Filter) -> Matcher:
        def matches(_event: object) -> bool:
            nonlocal asked
            asked += 1
            return True

        return matches

    monkeypatch.setattr(hub_module, "compile_filter", counting)
    at = hub()
    clients = [live(at) for _ in range(20)]
    publish(at, item(0), item(1))
    assert asked == 2
    assert all(taken(client) == ["0:0", "0:1"] for client in clients)


def test_a_full_queue_drops_the_oldest_and_says_how_many() -> None:
    at = hub(queue=4)
    slow = live(at)
    publish(at, *(item(offset) for offset in range(10)))
    assert slow.take_dropped() == 6
    assert taken(slow) == ["0:6", "0:7", "0:8", "0:9"]
    assert slow.take_dropped() == 0


def test_a_queue_is_bounded_in_bytes_too() -> None:
    at = hub(queue=100, queue_bytes=100)
    slow = live(at)
    publish(at, *(item(offset, size=40) for offset in range(5)))
    assert slow.take_dropped() == 3
    assert taken(slow) == ["0:3", "0:4"]


def test_an_event_larger_than_the_whole_queue_still_gets_through() -> None:
    at = hub(queue_bytes=100)
    client = live(at)
    publish(at, item(0), item(1, size=500))
    assert client.take_dropped() == 1
    assert taken(client) == ["0:1"]


def test_a_slow_client_takes_nothing_from_a_quick_one() -> None:
    at = hub(queue=2)
    slow, quick = live(at), live(at)
    got: list[str] = []
    for offset in range(50):
        publish(at, item(offset))
        got += taken(quick)
    assert got == [f"0:{offset}" for offset in range(50)]
    assert quick.take_dropped() == 0
    assert len(slow) == 2
    assert slow.take_dropped() == 48


def test_a_client_joins_without_gap_or_doubling_from_what_is_at_hand() -> None:
    at = hub(partitions=2)
    publish(at, item(0), item(1), item(0, 1), item(2))
    late = at.subscribe(EVERYTHING)
    assert at.attach(late, {0: 1, 1: 0})
    publish(at, item(3))
    assert taken(late) == ["0:1", "1:0", "0:2", "0:3"]


def test_a_client_that_lacks_what_is_no_longer_at_hand_does_not_join() -> None:
    at = hub(recent=3)
    publish(at, *(item(offset) for offset in range(5)))
    late = at.subscribe(EVERYTHING)
    assert not at.attach(late, {0: 1})
    assert at.attach(late, {0: 2})
    assert taken(late) == ["0:2", "0:3", "0:4"]


def test_a_client_does_not_join_with_a_queue_that_is_full_already() -> None:
    at = hub(queue=4)
    publish(at, *(item(offset) for offset in range(5)))
    late = at.subscribe(EVERYTHING)
    assert not at.attach(late, {0: 0})
    assert at.attach(late, {0: 3})


def test_a_client_that_is_behind_gets_nothing_from_the_live_feed() -> None:
    at = hub(recent=1)
    publish(at, item(0), item(1))
    late = at.subscribe(EVERYTHING)
    assert (at.live, at.behind) == (0, 1)
    publish(at, item(2))
    assert len(late) == 0


def test_the_position_waits_for_what_is_queued_and_passes_what_was_filtered_out() -> None:
    at = hub(partitions=2)
    client = live(at, WIKIPEDIA)
    publish(at, item(0), item(1, source="wikipedia"), item(0, 1), item(2, source="wikipedia"))
    assert client.position(at.position) == {0: 0, 1: 0}
    client.take()
    assert client.position(at.position) == {0: 2, 1: 0}
    client.take()
    assert client.position(at.position) == {0: 3, 1: 1}


def test_what_was_dropped_counts_as_told() -> None:
    at = hub(queue=1)
    client = live(at)
    publish(at, item(0), item(1))
    assert client.position(at.position) == {0: 1}


def test_the_events_at_hand_are_bounded_in_bytes_too() -> None:
    recent = Recent({0: 0}, max_events=100, max_bytes=100)
    recent.add(item(offset, size=40) for offset in range(5))
    assert [name(event) for event in recent.after({0: 0})] == ["0:3", "0:4"]
    assert recent.covers({0: 3})
    assert not recent.covers({0: 2})


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.integers(0, 1), st.sampled_from(["github", "wikipedia"])),
            st.tuples(st.just("take"), st.integers(1, 3), st.just("")),
        ),
        max_size=60,
    )
)
def test_from_any_position_a_client_told_of_nothing_it_wants_is_missing(script: list[tuple[str, int, str]]) -> None:
    """At every moment: what was taken + what was dropped + what is after the position = everything wanted."""
    at = hub(partitions=2, queue=3)
    client = live(at, WIKIPEDIA)
    ends = {0: 0, 1: 0}
    published: list[Item] = []
    got: list[Item] = []
    dropped = 0
    for what, number, source in script:
        if what == "publish":
            event = item(ends[number], number, source)
            ends[number] += 1
            published.append(event)
            publish(at, event)
        else:
            got += list(_some(client, number))
        dropped += client.take_dropped()
        position = client.position(at.position)
        before = [e for e in published if e.next <= position[e.partition] and e.facets.source == "wikipedia"]
        assert len(before) <= len(got) + dropped
        assert all(event in published for event in got)
        assert len({name(event) for event in got}) == len(got)


def _some(client: Subscriber, most: int) -> Iterator[Item]:
    for _ in range(most):
        event = client.take()
        if event is None:
            return
        yield event
