"""Which events a client wants: parsed from what it sent, compared by value, so that equal filters are one filter.

Within a field any value will do, and every field that is set has to hold:
`{"source": ["github", "wikipedia"], "text": "release"}` is (github or wikipedia) and release.
"""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.errors import DataError

MAX_VALUES = 50
MAX_VALUE_CHARS = 200
MAX_TEXT_CHARS = 200

_CHOICES = ("source", "kind", "language", "sentiment")
FIELDS = (*_CHOICES, "text")


@dataclass(slots=True)
class Facets:
    """What a filter looks at, of one event; an event without a language or a sentiment has "" there."""

    source: str
    kind: str
    language: str
    sentiment: str
    prose: tuple[str, ...]
    """The texts that `text` is looked for in: title, text and author, as they came."""
    _folded: str | None = None

    def folded(self) -> str:
        """The prose without the differences of case; made when a first filter asks, then kept for the others."""
        if self._folded is None:
            self._folded = "\n".join(self.prose).casefold()
        return self._folded


@dataclass(frozen=True, slots=True)
class Filter:
    """An empty set allows every value, and so does an empty text."""

    source: frozenset[str] = frozenset()
    kind: frozenset[str] = frozenset()
    language: frozenset[str] = frozenset()
    sentiment: frozenset[str] = frozenset()
    text: str = ""
    """Case-folded; found anywhere in title, text or author."""


EVERYTHING = Filter()

Matcher = Callable[[Facets], bool]


def compile_filter(wanted: Filter) -> Matcher:
    """A function that looks only at what the filter names; made once per distinct filter, called once per event."""
    checks: list[Matcher] = []
    if wanted.source:
        checks.append(lambda event: event.source in wanted.source)
    if wanted.kind:
        checks.append(lambda event: event.kind in wanted.kind)
    if wanted.language:
        checks.append(lambda event: event.language in wanted.language)
    if wanted.sentiment:
        checks.append(lambda event: event.sentiment in wanted.sentiment)
    if wanted.text:  # last: the dearest
        checks.append(lambda event: wanted.text in event.folded())
    if not checks:
        return lambda _event: True
    if len(checks) == 1:
        return checks[0]
    return lambda event: all(check(event) for check in checks)


def parse_filter(wanted: object) -> Filter:
    """A filter from JSON-like input: an object whose values are a string or, but for `text`, a list of strings.

    Raises:
        DataError: `bad-filter`, naming the field.
    """
    if wanted is None:
        return EVERYTHING
    if not isinstance(wanted, dict):
        raise DataError("bad-filter", 'a filter is an object, e.g. {"source": "github"}', field="filter")
    for name in wanted:
        if name not in FIELDS:
            raise DataError(
                "bad-filter", f"there is no filter on {name!r}; there is {', '.join(FIELDS)}", field="filter"
            )
    choices = {name: _values(name, wanted.get(name)) for name in _CHOICES}
    return Filter(**choices, text=_text(wanted.get("text")))


def _values(name: str, given: object) -> frozenset[str]:
    if given is None:
        return frozenset()
    values = given if isinstance(given, list) else [given]
    if len(values) > MAX_VALUES:
        raise DataError("bad-filter", f"at most {MAX_VALUES} values, not {len(values)}", field=name)
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_VALUE_CHARS:
            raise DataError("bad-filter", f"a value is a string of 1 to {MAX_VALUE_CHARS} characters", field=name)
    return frozenset(values)


def _text(given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > MAX_TEXT_CHARS:
        raise DataError("bad-filter", f"a string of at most {MAX_TEXT_CHARS} characters", field="text")
    return given.strip().casefold()
