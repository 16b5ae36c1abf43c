"""Counts different events by a plain rule of its own for each source, from the raw lines alone.

It shares no code with the parsers and the fingerprint: what it counts is held against what dedup let through, so that
a dedup that calls everything new, or nothing, cannot balance.

| source    | an event is                                          | different events differ in                   |
|-----------|------------------------------------------------------|----------------------------------------------|
| github    | every line                                           | the first "id" of the line                   |
| wikipedia | every line                                           | the whole line                               |
| weather   | every line that begins with an airport's three letters | first and last column: airport, hour in UTC |
| exchange  | a message with the words of one, see below           | exchange, symbol, and trade or update number |
"""

import re
from collections.abc import Callable

Keys = Callable[[bytes], list[bytes]]
"""From a raw line to the keys of the events it holds."""

_GITHUB_ID = re.compile(rb'\{"id":"(\d+)"')
_WEATHER_ROW = re.compile(rb"([A-Z]{3}),.*,(\S+)")
_EXCHANGE = (
    # Each is the words of one message type, with the parts that make it that event and no other.
    re.compile(rb'\d.*"stream":"[a-z]+@(aggTrade)".*"s":"(\w+)","a":(\d+)'),
    re.compile(rb'\d.*"stream":"[a-z]+@(bookTicker)","data":\{"u":(\d+),"s":"(\w+)"'),
    re.compile(rb'\d.*"data":\{"id":(\d+),.*"channel":"(live_trades_\w+)","event":"(trade)"'),
    re.compile(rb'\d.*"type":"(?:last_)?(match)","trade_id":(\d+),.*"product_id":"([\w-]+)"'),
    re.compile(rb'\d.*"type":"(ticker)","sequence":(\d+),"product_id":"([\w-]+)"'),
    re.compile(rb'\d[\d.]*: \{"type":"(trade)","symbol":"(\w+)","event_id":(\d+)'),
    re.compile(rb'\d.*"channel":"(trades)",.*"data":\[\{"instId":"([\w-]+)","tradeId":"(\d+)"'),
    re.compile(rb'\d.*"channel":"(tickers)",.*"data":\[\{.*"instId":"([\w-]+)".*"ts":"(\d+)"\}\]'),
)


class Oracle:
    """Counts what it is shown; made for one replay of one source."""

    def __init__(self, source: str) -> None:
        self._keys = KEYS[source]
        self._seen: set[bytes] = set()

    def keys(self, line: bytes) -> list[bytes]:
        return self._keys(line)

    def saw(self, line: bytes) -> None:
        """This line's events were sent."""
        self._seen.update(self._keys(line))

    @property
    def unique(self) -> int:
        return len(self._seen)


def _github(line: bytes) -> list[bytes]:
    return [match[1]] if (match := _GITHUB_ID.match(line)) else []


def _wikipedia(line: bytes) -> list[bytes]:
    return [line] if line.startswith(b'{"time":') else []


def _weather(line: bytes) -> list[bytes]:
    return [match[1] + b" " + match[2]] if (match := _WEATHER_ROW.fullmatch(line)) else []


def _exchange(line: bytes) -> list[bytes]:
    matches = (pattern.match(line) for pattern in _EXCHANGE)
    return [b"%d " % i + b" ".join(match.groups()) for i, match in enumerate(matches) if match is not None]


KEYS: dict[str, Keys] = {"github": _github, "wikipedia": _wikipedia, "weather": _weather, "exchange": _exchange}
