"""What a filter lets through, and what is refused as a filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from services.gateway.filters import EVERYTHING, MAX_VALUES, Facets, compile_filter, parse_filter

WORDS = st.sampled_from(["github", "wikipedia", "post", "edit", "en", "de", "positive", "negative"])


def event(
    source: str = "github",
    kind: str = "activity",
    language: str = "en",
    sentiment: str = "neutral",
    prose: tuple[str, ...] = ("apache/kafka", "Fixes the Straße of transactions", "octocat"),
) -> Facets:
    return Facets(source, kind, language, sentiment, prose)


def passes(wanted: object, facets: Facets) -> bool:
    return compile_filter(parse_filter(wanted))(facets)


def test_no_filter_lets_everything_through() -> None:
    assert parse_filter(None) is EVERYTHING
    assert parse_filter({}) == EVERYTHING
    assert passes({}, event())


@pytest.mark.parametrize(
    ("wanted", "through"),
    [
        ({"source": "github"}, True),
        ({"source": "git"}, False),
        ({"source": ["wikipedia", "github"]}, True),
        ({"kind": "edit"}, False),
        ({"language": "en"}, True),
        ({"language": ["de", "fr"]}, False),
        ({"sentiment": "neutral"}, True),
        ({"sentiment": "positive"}, False),
        ({"source": "github", "kind": "edit"}, False),
        ({"source": "github", "kind": "activity", "language": "en", "sentiment": "neutral"}, True),
        ({"source": []}, True),
    ],
)
def test_any_value_of_a_field_and_every_field_has_to_hold(wanted: object, *, through: bool) -> None:
    assert passes(wanted, event()) is through


@pytest.mark.parametrize("text", ["KAFKA", "transactions", "strasse", "OctoCat", "  fixes the "])
def test_text_is_found_in_title_text_and_author_whatever_the_case(text: str) -> None:
    assert passes({"text": text}, event())


def test_text_is_not_found_across_two_fields() -> None:
    assert not passes({"text": "kafkafixes"}, event())
    assert not passes({"text": "kafka fixes"}, event())


def test_an_event_without_text_matches_no_text() -> None:
    assert not passes({"text": "a"}, event(prose=()))


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ("github", "filter"),
        ([], "filter"),
        ({"origin": "github"}, "filter"),
        ({"source": 5}, "source"),
        ({"source": [None]}, "source"),
        ({"source": ""}, "source"),
        ({"kind": "x" * 201}, "kind"),
        ({"language": ["x"] * (MAX_VALUES + 1)}, "language"),
        ({"sentiment": {"label": "positive"}}, "sentiment"),
        ({"text": ["a"]}, "text"),
        ({"text": "x" * 201}, "text"),
    ],
)
def test_what_is_no_filter_is_refused_by_field(wanted: object, field: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_filter(wanted)
    assert caught.value.reason == "bad-filter"
    assert caught.value.field == field


def test_filters_that_say_the_same_are_the_same() -> None:
    one = parse_filter({"source": ["a", "b"], "text": " Kafka "})
    other = parse_filter({"text": "KAFKA", "source": ["b", "a", "b"], "kind": None})
    assert one == other
    assert hash(one) == hash(other)


@given(
    wanted=st.fixed_dictionaries(
        {}, optional={name: st.lists(WORDS, max_size=3) for name in ("source", "kind", "language", "sentiment")}
    ),
    facets=st.builds(event, WORDS, WORDS, WORDS, WORDS),
)
def test_a_compiled_filter_agrees_with_its_definition(wanted: dict[str, list[str]], facets: Facets) -> None:
    expected = all(not values or getattr(facets, name) in values for name, values in wanted.items())
    assert passes(wanted, facets) is expected
