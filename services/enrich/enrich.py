"""What enrichment adds to an event. Pure: texts go to a model in one batch, fields come back."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

Fields = dict[str, Any]


class Language(NamedTuple):
    """`code` is ISO 639-1, or 639-3 where there is no shorter one; `confidence` 0 to 1."""

    code: str
    confidence: float


class LanguageModel(Protocol):
    def detect(self, texts: Sequence[str]) -> Sequence[Language | None]:
        """One answer for each text, in order; None where it can't be told."""
        ...


def text_of(event: Fields) -> str:
    """Title and text, what there is of them; empty where there is neither."""
    return "\n".join(part for part in (event["title"], event["text"]) if part)


def enrich(events: Sequence[Fields], languages: LanguageModel) -> list[Fields]:
    """The fields of EnrichedEvent beyond those of Event, for each event.

    Entities, keywords, topics and place have their fields, but no model yet: they stay empty.
    """
    texts = [text_of(event) for event in events]
    spoken = [index for index, text in enumerate(texts) if text]
    found: list[Language | None] = [None] * len(texts)
    for index, language in zip(spoken, languages.detect([texts[index] for index in spoken]), strict=True):
        found[index] = language
    return [
        {
            "language": None if language is None else {"code": language.code, "confidence": language.confidence},
            "entities": [],
            "keywords": [],
            "topics": [],
            "place": None,
        }
        for language in found
    ]
