"""What "the same event" means: a keyed hash of an event's canonical form (docs/decisions/0004).

The canonical form, version 1. A field is its length in 8 bytes, big-endian, then its bytes in UTF-8; a field that is
absent has the length 2**64 - 1 and no bytes, so that no two lists of fields can be written alike.

- by default: `by-id`, kind, `1`, source, id, then `stated` and the version as the source states it, or `content` and
  the hash of the content, BLAKE2b-256 of:
  - title, text and URL, for post, comment, article and edit: counters like points and replies move without an edit;
  - and the name and degrees of the location, measures and attributes, for activity and other;
  - and `occurred_at`, for quote and observation: the same value at another time is another reading.
  Never `ingested_at`, nor author and stated language: a re-poll must meet itself.
- `across-sources`, for article and post with enough words, where switched on: `across-sources`, kind, `1`, title and
  text, normalised: tracking parameters cut out of URLs, NFKC, case-folded, white space collapsed.

Measures and attributes are written in the order of their names, their number first. Any change here makes every event
new once: raise FINGERPRINT_VERSION, and see tests/unit/test_fingerprint.py, whose vectors are frozen.
"""

import struct
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from penstock.event import Event
from penstock.urls import text_without_tracking, without_tracking

FINGERPRINT_VERSION = 1
FINGERPRINT_BYTES = 16
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = blake2b.MAX_KEY_SIZE
DEFAULT_MIN_WORDS = 8

BY_ID = b"by-id"
ACROSS_SOURCES = b"across-sources"
ACROSS_KINDS = frozenset({"article", "post"})

_VERSION = str(FINGERPRINT_VERSION).encode()
_LENGTH = struct.Struct(">Q")
_DOUBLE = struct.Struct(">d")
_ABSENT = _LENGTH.pack(2**64 - 1)
_TEXT_KINDS = frozenset({"post", "comment", "article", "edit"})
_READING_KINDS = frozenset({"quote", "observation"})


class Fingerprinter:
    """Fingerprints under one deployment's key: without it nobody outside can make two events collide.

    Args:
        key: 16 to 64 bytes.
        across_sources: let articles and posts with the same title and text meet, whatever their source.
        min_words: how many normalised words they need for that.
    """

    def __init__(self, key: bytes, *, across_sources: bool = False, min_words: int = DEFAULT_MIN_WORDS) -> None:
        if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"a fingerprint key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, not {len(key)}")
        if min_words < 1:
            raise ValueError(f"min_words must be at least 1, not {min_words}")
        self._keyed = blake2b(digest_size=FINGERPRINT_BYTES, key=key)
        self._across_sources = across_sources
        self._min_words = min_words

    def of(self, event: Event) -> bytes:
        """16 bytes; the key of the event's record."""
        keyed = self._keyed.copy()
        keyed.update(canonical(self._fields(event)))
        return keyed.digest()

    def _fields(self, event: Event) -> list[bytes | None]:
        if self._across_sources and event.kind in ACROSS_KINDS:
            title, text = normalise(event.title or ""), normalise(event.text or "")
            if len(title.split()) + len(text.split()) >= self._min_words:
                return [ACROSS_SOURCES, event.kind.encode(), _VERSION, title.encode(), text.encode()]
        fields = [BY_ID, event.kind.encode(), _VERSION, event.source.encode(), event.id.encode()]
        if event.version is not None:
            return [*fields, b"stated", event.version.encode()]
        return [*fields, b"content", blake2b(canonical(content_fields(event)), digest_size=32).digest()]


def canonical(fields: Iterable[bytes | None]) -> bytes:
    """The fields, each after its length; equal only for equal lists."""
    return b"".join(_ABSENT if field is None else _LENGTH.pack(len(field)) + field for field in fields)


def content_fields(event: Event) -> list[bytes | None]:
    """What an edit changes and a re-poll does not; see the module's text."""
    url = None if event.url is None else without_tracking(event.url)
    fields = [_utf8(event.title), _utf8(event.text), _utf8(url)]
    if event.kind in _TEXT_KINDS:
        return fields
    place = event.location
    fields += [None] * 3 if place is None else [_utf8(place.name), _double(place.latitude), _double(place.longitude)]
    fields.append(str(len(event.measures)).encode())
    for name in sorted(event.measures):
        fields += [name.encode(), _double(event.measures[name])]
    fields.append(str(len(event.attributes)).encode())
    for name in sorted(event.attributes):
        fields += [name.encode(), event.attributes[name].encode()]
    if event.kind in _READING_KINDS:
        fields.append(str(event.occurred_at).encode())
    return fields


def normalise(text: str) -> str:
    """As the across-sources policy compares: tracking parameters cut, NFKC, case-folded, white space collapsed."""
    folded = unicodedata.normalize("NFKC", text_without_tracking(text)).casefold()
    # Case folding can undo the normal form, e.g. of U+01F0.
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _utf8(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _double(value: float | None) -> bytes | None:
    """-0.0 is 0.0 here."""
    return None if value is None else _DOUBLE.pack(value + 0.0)
