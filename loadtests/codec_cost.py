"""What a GitHub event costs to decode and encode: `python -m loadtests.codec_cost`.

The whole hour of samples/github, Penstock's codecs beside fastavro's, in turns; CPU time of this process, the best of
several rounds for each, since on a shared machine the others only ever add.
"""

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

from penstock.event_input import parse_event
from penstock.schema import files
from penstock.schema.codec import HEADER_SIZE, Codec, Decoder
from services.ingest.replay.files import PARSERS, Lines
from services.ingest.replay.parser import Skipped

ROUNDS = 7
RECORDING = Path(__file__).resolve().parents[1] / "samples/github/2015-01-01-0.json.gz"
NOW_MS = 1_790_000_000_000
_SHAPE = ("type", "items", "values", "fields")


class _One:
    async def schema(self, _schema_id: int) -> Mapping[str, Any]:
        return files.latest("event")


def main() -> None:
    records = list(_recorded())
    codec = Codec(1, files.latest("event"))
    values = [codec.encode(record) for record in records]
    decoder = Decoder(_One(), "event")
    asyncio.run(decoder.prepare(values[:1]))
    plain = fastavro.parse_schema(_plain(files.latest("event")))

    def fastavro_decode(value: bytes) -> Any:
        body = BytesIO(value)
        body.seek(HEADER_SIZE)
        return fastavro.schemaless_reader(body, plain, None)

    def fastavro_encode(record: Any) -> bytes:
        body = BytesIO()
        body.write(struct.pack(">bI", 0, 1))
        fastavro.schemaless_writer(body, plain, record, strict_allow_default=True)
        return body.getvalue()

    assert [fastavro_decode(value) for value in values] == records
    assert [fastavro_encode(record) for record in records] == values
    contenders: list[tuple[str, Callable[[Any], Any], Sequence[Any]]] = [
        ("decode, penstock", decoder.decode, values),
        ("decode, fastavro", fastavro_decode, values),
        ("encode, penstock", codec.encode, records),
        ("encode, fastavro", fastavro_encode, records),
    ]
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, function, given in contenders:
            cost = _cost_us(function, given)
            best[name] = min(cost, best.get(name, cost))
    size = sum(map(len, values)) / len(values)
    print(f"{len(records):,} GitHub events, {size:.0f} bytes each on average")
    for name, cost in best.items():
        print(f"{name}: {cost:.1f} us")
    for kind in ("decode", "encode"):
        print(f"{kind}, penstock / fastavro: {best[f'{kind}, penstock'] / best[f'{kind}, fastavro']:.2f}")


def _recorded() -> Any:
    parser = PARSERS["github"](RECORDING)
    for line in Lines(RECORDING):
        found = parser.parse(line)
        if not isinstance(found, Skipped):
            yield from (parse_event(fields, NOW_MS).to_record() for fields in found)


def _plain(schema: Any) -> Any:
    """Without logical types, so that fastavro hands out ints as well and makes no datetimes."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if isinstance(schema, dict):
        kept = {key: _plain(value) if key in _SHAPE else value for key, value in schema.items() if key != "logicalType"}
        return json.loads(json.dumps(kept))
    return schema


def _cost_us(function: Callable[[Any], Any], given: Sequence[Any]) -> float:
    start = time.process_time()
    for each in given:
        function(each)
    return (time.process_time() - start) / len(given) * 1e6


if __name__ == "__main__":
    main()
