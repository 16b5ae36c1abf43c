"""An event back out of its record; Penstock itself only ever makes records of events."""

from collections.abc import Mapping
from typing import Any

from penstock.event import Event, Location


def event_of_record(record: Mapping[str, Any]) -> Event:
    """The event of a decoded Avro record."""
    place = record["location"]
    return Event(**{**record, "location": None if place is None else Location(**place)})
