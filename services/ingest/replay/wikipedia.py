"""Recent changes of the Wikipedias: one JSON object a line, as Apache Druid's tutorial records them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from penstock.errors import DataError
from services.ingest.replay.parser import Fields, Skipped, json_object, line_id, text_of

_FLAGS = ("isAnonymous", "isMinor", "isNew", "isRobot", "isUnpatrolled")


class WikipediaParser:
    """Every line is an edit; it states no id, so a hash of the line is its id."""

    def parse(self, line: bytes) -> list[Fields] | Skipped:
        entry = json_object(line)
        try:
            return [_fields(entry, line)]
        except (LookupError, TypeError, AttributeError) as error:
            raise DataError("not-a-recent-change", f"not a recent change of a Wikipedia: no {error}") from None


def _fields(entry: Mapping[str, Any], line: bytes) -> Fields:
    wiki = entry["channel"].removeprefix("#")
    place = ", ".join(filter(None, (entry["cityName"], entry["regionName"], entry["countryName"])))
    return {
        "id": line_id(line),
        "source": "wikipedia",
        "kind": "edit",
        "occurred_at": entry["time"],
        "author": entry["user"],
        "title": entry["page"],
        "text": entry["comment"] or None,
        "url": f"https://{wiki}.org/wiki/{quote(entry['page'].replace(' ', '_'), safe=':/()')}",
        "stated_language": wiki.partition(".")[0],
        "location": {"name": place} if place else None,
        "measures": {name: entry[name] for name in ("added", "deleted", "delta")},
        "attributes": {
            "wiki": wiki,
            "namespace": entry["namespace"],
            **text_of(entry, "countryIsoCode"),
            **{flag: "true" for flag in _FLAGS if entry[flag]},
        },
    }
