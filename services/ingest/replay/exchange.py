"""Recorded WebSocket messages of crypto exchanges, as cryptofeed writes them: `<time of receipt>: <message>`.

Trades and tickers are events, everything else is skipped with its reason; services/ingest/README.md has the table.
The time of receipt is no part of an event: the same message over two connections is the same event.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from penstock.errors import DataError
from services.ingest.replay.parser import Fields, Skipped

_LINE = re.compile(rb"(\d+\.\d+): (.*)")
_OKX_EVENTS = frozenset({"trades", "tickers"})


class ExchangeParser:
    """The exchange is told by the form of its messages; a recording's own remarks are skipped."""

    def parse(self, line: bytes) -> list[Fields] | Skipped:
        if (match := _LINE.fullmatch(line)) is None:
            return Skipped("no-message")
        try:
            message = orjson.loads(match[2])
        except orjson.JSONDecodeError as error:
            raise DataError("not-json", f"the message is not JSON: {error}") from None
        try:
            return _events(message, int(float(match[1]) * 1000))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataError("not-a-message", f"not a message as its exchange sends it: {error!r}") from None


def _events(message: Any, received_ms: int) -> list[Fields] | Skipped:
    if isinstance(message, list):
        return Skipped("kraken:" + message[-2].partition("-")[0])
    if "stream" in message:
        return _binance(message["data"], message["stream"].rpartition("@")[2], received_ms)
    if "channel" in message:
        return _bitstamp(message)
    if "arg" in message:
        return _okx(message)
    if "type" in message:
        kind = message["type"]
        if kind in _BY_TYPE and ("product_id" in message or "symbol" in message):
            return [_BY_TYPE[kind](message)]
        return Skipped(("gemini:" if kind in {"l2_updates", "heartbeat"} else "coinbase:") + kind)
    return Skipped("kraken:" + message["event"])


def _quote(
    exchange: str, symbol: str, what: str, native_id: object, at: object, measures: Mapping[str, Any], **more: Any
) -> Fields:
    side = {"side": more.pop("side")} if "side" in more else {}
    return {
        "id": f"{exchange}:{symbol}:{what}:{native_id}",
        "source": "exchange",
        "kind": "quote",
        "occurred_at": at,
        "title": symbol,
        "measures": {name: float(value) for name, value in measures.items() if value not in (None, "")},
        "attributes": {"exchange": exchange, "symbol": symbol, "what": what, **side},
        **more,
    }


def _binance(data: Mapping[str, Any], stream: str, received_ms: int) -> list[Fields] | Skipped:
    if stream == "aggTrade":
        side = "sell" if data["m"] else "buy"  # m: the buyer was the maker
        measures = {"price": data["p"], "size": data["q"]}
        return [_quote("binance", data["s"], "trade", data["a"], data["T"], measures, side=side)]
    if stream == "bookTicker":
        # It has no time of its own, only the number of the book's update, which is its version.
        measures = {"bid": data["b"], "bid_size": data["B"], "ask": data["a"], "ask_size": data["A"]}
        ticker = _quote("binance", data["s"], "ticker", data["u"], received_ms, measures, version=str(data["u"]))
        return [ticker]
    return Skipped("binance:" + ("depth" if data["e"] == "depthUpdate" else stream.partition("_")[0]))


def _bitstamp(message: Mapping[str, Any]) -> list[Fields] | Skipped:
    if message["event"] != "trade":
        return Skipped("bitstamp:" + {"data": "order_book"}.get(message["event"], "subscription"))
    data = message["data"]
    symbol = message["channel"].removeprefix("live_trades_").upper()
    measures = {"price": data["price_str"], "size": data["amount_str"]}
    side = "sell" if data["type"] else "buy"
    return [_quote("bitstamp", symbol, "trade", data["id"], int(data["microtimestamp"]) // 1000, measures, side=side)]


def _okx(message: Mapping[str, Any]) -> list[Fields] | Skipped:
    channel = message["arg"]["channel"]
    if "data" not in message:
        return Skipped("okx:" + message["event"])
    if channel not in _OKX_EVENTS:
        return Skipped("okx:" + channel)
    return [_okx_trade(entry) if channel == "trades" else _okx_ticker(entry) for entry in message["data"]]


def _okx_trade(data: Mapping[str, Any]) -> Fields:
    measures = {"price": data["px"], "size": data["sz"]}
    return _quote("okx", data["instId"], "trade", data["tradeId"], int(data["ts"]), measures, side=data["side"])


def _okx_ticker(data: Mapping[str, Any]) -> Fields:
    measures = {
        "price": data["last"],
        "size": data["lastSz"],
        "bid": data["bidPx"],
        "bid_size": data["bidSz"],
        "ask": data["askPx"],
        "ask_size": data["askSz"],
        "open_24h": data["open24h"],
        "high_24h": data["high24h"],
        "low_24h": data["low24h"],
        "volume_24h": data["vol24h"],
    }
    return _quote("okx", data["instId"], "ticker", data["ts"], int(data["ts"]), measures)


def _coinbase_trade(data: Mapping[str, Any]) -> Fields:
    """`side` is the maker's, as Coinbase has it."""
    measures = {"price": data["price"], "size": data["size"]}
    return _quote("coinbase", data["product_id"], "trade", data["trade_id"], data["time"], measures, side=data["side"])


def _coinbase_ticker(data: Mapping[str, Any]) -> Fields:
    measures = {
        "price": data["price"],
        "size": data["last_size"],
        "bid": data["best_bid"],
        "ask": data["best_ask"],
        "open_24h": data["open_24h"],
        "high_24h": data["high_24h"],
        "low_24h": data["low_24h"],
        "volume_24h": data["volume_24h"],
    }
    return _quote("coinbase", data["product_id"], "ticker", data["sequence"], data["time"], measures, side=data["side"])


def _gemini_trade(data: Mapping[str, Any]) -> Fields:
    measures = {"price": data["price"], "size": data["quantity"]}
    return _quote("gemini", data["symbol"], "trade", data["event_id"], data["timestamp"], measures, side=data["side"])


_BY_TYPE: dict[str, Callable[[Mapping[str, Any]], Fields]] = {
    "match": _coinbase_trade,
    "last_match": _coinbase_trade,  # the trade before the subscription, sent once as a start
    "ticker": _coinbase_ticker,
    "trade": _gemini_trade,
}
