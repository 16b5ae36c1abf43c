"""A re-poll keeps its fingerprint, an edit gets another, and the canonical form never changes unseen."""

import dataclasses
import struct
import unicodedata
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from penstock.event import KINDS, Event, Location
from penstock.fingerprint import ACROSS_KINDS, FINGERPRINT_VERSION, Fingerprinter, canonical, normalise
from penstock.urls import text_without_tracking, without_tracking

KEY = bytes(range(32))
BY_ID = Fingerprinter(KEY)
ACROSS = Fingerprinter(KEY, across_sources=True)

EVENT = Event(
    id="hn:1",
    source="hn",
    kind="article",
    occurred_at=1_420_070_400_000,
    ingested_at=1_763_700_000_000,
    author="ann",
    title="A title of words enough to count",
    text="And a text",
    url="https://example.org/a?b=1",
    measures={"points": 1.0},
    attributes={"a": "b"},
    location=Location(1.0, 2.0, "here"),
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
events = st.builds(
    Event,
    id=texts,
    source=texts,
    kind=st.sampled_from(KINDS),
    occurred_at=st.integers(0, 2**45),
    ingested_at=st.integers(0, 2**45),
    version=st.none() | texts,
    author=st.none() | texts,
    title=st.none() | texts,
    text=st.none() | texts,
    url=st.none() | texts,
    stated_language=st.none() | texts,
    location=st.none() | st.builds(Location, st.floats(-90, 90), st.floats(-180, 180), st.none() | texts),
    measures=st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
    attributes=st.dictionaries(texts, texts, max_size=3),
)


def changed(event: Event, **fields: Any) -> Event:
    return dataclasses.replace(event, **fields)


@pytest.mark.parametrize(
    ("fields", "by_id", "across"),
    [
        ({}, "cc48623f2491b2bde258720381dccad1", "60fef8194c1ac44bb0303a6bd0d382a5"),
        ({"version": "7"}, "fdcb8d30ea6b654dc75d9174742676e5", "60fef8194c1ac44bb0303a6bd0d382a5"),
        ({"version": ""}, "2424d48b506821c0e52d514872037a52", "60fef8194c1ac44bb0303a6bd0d382a5"),
        ({"kind": "post", "title": None}, "c18533235e50247f5729e74bbd3b9595", "c18533235e50247f5729e74bbd3b9595"),
        ({"kind": "quote"}, "e401cfe5c64d2cdc9938ff5fdb893ccd", "e401cfe5c64d2cdc9938ff5fdb893ccd"),
        (
            {"kind": "observation", "location": None, "url": None},
            "9a0ea4506cd0730731304b3d48093147",
            "9a0ea4506cd0730731304b3d48093147",
        ),
        (
            {"kind": "activity", "attributes": {}, "measures": {}},
            "8857446061a779c48911f5a03d4e688e",
            "8857446061a779c48911f5a03d4e688e",
        ),
        (
            {"title": None, "text": "Größe eins zwei drei VIER fünf sechs sieben?"},
            "91557d82b44ec93d6bdcae94e68775ce",
            "948f14b6a7cdd7737a8cba7201a5473a",
        ),
    ],
)
def test_the_canonical_form_of_version_1_is_frozen(fields: dict[str, Any], by_id: str, across: str) -> None:
    """Where this fails, every event becomes new once: raise FINGERPRINT_VERSION, or take the change back."""
    assert FINGERPRINT_VERSION == 1
    event = changed(EVENT, **fields)
    assert (BY_ID.of(event).hex(), ACROSS.of(event).hex()) == (by_id, across)


def test_the_canonical_form_can_be_written_by_hand_from_its_description() -> None:
    def field(data: bytes | None) -> bytes:
        return struct.pack(">Q", 2**64 - 1) if data is None else struct.pack(">Q", len(data)) + data

    content = field(b"T") + field(None) + field(b"https://example.org/?b=1")
    content += field(b"here") + field(struct.pack(">d", 1.0)) + field(struct.pack(">d", 2.0))
    content += field(b"2") + field(b"a") + field(struct.pack(">d", 0.0)) + field(b"b") + field(struct.pack(">d", 2.0))
    content += field(b"0") + field(b"1420070400000")
    whole = b"".join(
        map(field, (b"by-id", b"quote", b"1", b"hn", b"hn:1", b"content", blake2b(content, digest_size=32).digest()))
    )
    event = changed(
        EVENT,
        kind="quote",
        title="T",
        text=None,
        url="https://example.org/?utm_source=x&b=1",
        measures={"b": 2.0, "a": -0.0},
        attributes={},
    )
    assert BY_ID.of(event) == blake2b(whole, digest_size=16, key=KEY).digest()


fields = st.lists(st.none() | st.binary(max_size=12), max_size=6)


@given(fields, fields)
def test_no_two_lists_of_fields_are_written_alike(one: list[bytes | None], other: list[bytes | None]) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(fields)
def test_fields_can_be_read_back_from_the_canonical_form(given_fields: list[bytes | None]) -> None:
    data, found = canonical(given_fields), list[bytes | None]()
    while data:
        length, data = struct.unpack(">Q", data[:8])[0], data[8:]
        if length == 2**64 - 1:
            found.append(None)
        else:
            found.append(data[:length])
            data = data[length:]
    assert found == given_fields


@given(events, st.binary(min_size=16, max_size=64))
def test_another_key_gives_another_fingerprint(event: Event, key: bytes) -> None:
    assume(key != KEY)
    assert Fingerprinter(key).of(event) != BY_ID.of(event)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_key_of_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        Fingerprinter(b"x" * size)


@given(events, st.integers(0, 2**45), st.none() | texts, st.none() | texts)
def test_a_re_poll_meets_itself(event: Event, later: int, author: str | None, language: str | None) -> None:
    again = changed(event, ingested_at=later, author=author, stated_language=language)
    assert BY_ID.of(again) == BY_ID.of(event)
    assert ACROSS.of(again) == ACROSS.of(event)
    assert len(BY_ID.of(event)) == 16


@given(events)
def test_the_order_of_measures_and_attributes_does_not_matter(event: Event) -> None:
    turned = changed(
        event,
        measures=dict(reversed(list(event.measures.items()))),
        attributes=dict(reversed(list(event.attributes.items()))),
    )
    assert BY_ID.of(turned) == BY_ID.of(event)


@given(events, st.sampled_from(["id", "source"]), texts)
def test_another_id_or_source_is_another_event(event: Event, name: str, value: str) -> None:
    assume(getattr(event, name) != value)
    assert BY_ID.of(changed(event, **{name: value})) != BY_ID.of(event)


@given(events, st.sampled_from(["title", "text"]), st.none() | texts)
def test_an_edit_without_a_stated_version_is_a_new_event(event: Event, name: str, value: str | None) -> None:
    assume(getattr(event, name) != value)
    event = changed(event, version=None)
    assert BY_ID.of(changed(event, **{name: value})) != BY_ID.of(event)


@given(events, texts, st.none() | texts, st.dictionaries(texts, st.floats(allow_nan=False), max_size=2))
def test_where_the_source_states_a_version_it_alone_decides(
    event: Event, version: str, text: str | None, measures: dict[str, float]
) -> None:
    event = changed(event, version=version)
    assert BY_ID.of(changed(event, text=text, measures=measures, occurred_at=1)) == BY_ID.of(event)
    assert BY_ID.of(changed(event, version=version + "x")) != BY_ID.of(event)


@pytest.mark.parametrize("kind", ["post", "comment", "article", "edit"])
def test_counters_of_a_text_move_without_an_edit(kind: str) -> None:
    event = changed(EVENT, kind=kind)
    again = changed(event, measures={"points": 99.0}, attributes={"flair": "hot"}, occurred_at=5, location=None)
    assert BY_ID.of(again) == BY_ID.of(event)


@pytest.mark.parametrize("kind", ["activity", "other", "quote", "observation"])
@pytest.mark.parametrize("name", ["measures", "attributes", "location"])
def test_the_values_of_a_fact_are_its_content(kind: str, name: str) -> None:
    event = changed(EVENT, kind=kind)
    assert BY_ID.of(changed(event, **{name: None if name == "location" else {}})) != BY_ID.of(event)


@pytest.mark.parametrize(
    ("kind", "same"), [("activity", True), ("other", True), ("quote", False), ("observation", False)]
)
def test_only_of_a_reading_the_time_is_content(kind: str, same: bool) -> None:
    event = changed(EVENT, kind=kind)
    assert (BY_ID.of(changed(event, occurred_at=5)) == BY_ID.of(event)) is same


@given(events)
def test_sources_never_meet_unless_switched_on(event: Event) -> None:
    assert BY_ID.of(changed(event, source="a")) != BY_ID.of(changed(event, source="b"))


@given(events, texts, texts)
def test_only_articles_and_posts_with_enough_words_meet_across_sources(event: Event, source: str, name: str) -> None:
    assume((source, name) != (event.source, event.id))
    words = len(normalise(event.title or "").split()) + len(normalise(event.text or "").split())
    meet = ACROSS.of(changed(event, source=source, id=name, version="other")) == ACROSS.of(event)
    assert meet == (event.kind in ACROSS_KINDS and words >= 8)


def test_a_syndicated_story_meets_itself() -> None:
    there = changed(
        EVENT,
        id="feed:9",
        source="feed",
        url="https://else.example.com/",
        title="  A TITLE of words  enough to\tcount",
        text="AND a \uff54\uff45\uff58\uff54",
        version="7",
    )
    assert ACROSS.of(there) == ACROSS.of(EVENT)
    assert BY_ID.of(there) != BY_ID.of(EVENT)


def test_words_do_not_wander_between_title_and_text() -> None:
    joined = changed(EVENT, title=EVENT.title + " And", text="a text") if EVENT.title else EVENT
    assert ACROSS.of(joined) != ACROSS.of(EVENT)


def test_seven_words_are_too_few_and_eight_are_enough() -> None:
    for count, meet in ((7, False), (8, True)):
        story = changed(EVENT, title="word " * count, text=None)
        assert (ACROSS.of(changed(story, source="b")) == ACROSS.of(story)) is meet


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ACROSS_KINDS])
def test_other_kinds_never_meet_across_sources(kind: str) -> None:
    event = changed(EVENT, kind=kind)
    assert ACROSS.of(event) == BY_ID.of(event)


def test_normalising_folds_form_case_and_white_space() -> None:
    assert normalise(" \uff26\uff55\uff4c\uff4c\u00a0WIDTH \n ﬁne STRASSE straße ") == "full width fine strasse strasse"
    assert (
        normalise("look: https://example.org/a?utm_source=x&id=7#top end") == "look: https://example.org/a?id=7#top end"
    )


@given(st.text())
@example("\u01f0")  # a letter that case folding takes apart
def test_normalised_text_is_normal(text: str) -> None:
    found = normalise(text)
    assert unicodedata.is_normalized("NFKC", found)
    assert " ".join(found.split()) == found


@pytest.mark.parametrize(
    ("url", "cut"),
    [
        ("https://example.org/a?utm_source=x&utm_medium=y", "https://example.org/a"),
        ("https://example.org/a?id=1&UTM_Source=x&b=2", "https://example.org/a?id=1&b=2"),
        ("https://example.org/a?fbclid=1#part", "https://example.org/a#part"),
        ("https://example.org/a?b=%20&b=2;c", "https://example.org/a?b=%20&b=2;c"),
        ("https://example.org/utm_source=x", "https://example.org/utm_source=x"),
        ("https://example.org/#?utm_source=x", "https://example.org/#?utm_source=x"),
        ("not a url?", "not a url?"),
        ("", ""),
    ],
)
def test_only_tracking_parameters_are_cut(url: str, cut: str) -> None:
    assert without_tracking(url) == cut


@given(st.text())
def test_cutting_twice_is_cutting_once(text: str) -> None:
    assert without_tracking(without_tracking(text)) == without_tracking(text)
    assert text_without_tracking(text_without_tracking(text)) == text_without_tracking(text)
