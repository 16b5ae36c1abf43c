"""What scoring adds to an enriched event. Pure: texts go to a model in one batch, fields come back."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

Fields = dict[str, Any]

MIN_CONFIDENCE = 0.5
"""Of the language: below it a text is more likely in another one, and a score would be a guess upon a guess."""


class Verdict(NamedTuple):
    """`label` is negative, neutral or positive; `score` -1 (negative) to 1 (positive)."""

    label: str
    score: float


class SentimentModel(Protocol):
    @property
    def name(self) -> str:
        """Name and version, kept with every score."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of the languages it can judge."""
        ...

    def judge(self, texts: Sequence[str]) -> Sequence[Verdict]:
        """One verdict for each text, in order."""
        ...


def score(events: Sequence[Fields], model: SentimentModel) -> list[Fields]:
    """The field `sentiment` for each event; null where there is no text, or none in a language the model can judge."""
    texts = [_text(event) if _judged(event, model) else "" for event in events]
    spoken = [index for index, text in enumerate(texts) if text]
    added: list[Fields] = [{"sentiment": None} for _ in events]
    for index, verdict in zip(spoken, model.judge([texts[index] for index in spoken]), strict=True):
        added[index]["sentiment"] = {
            "label": verdict.label,
            "score": verdict.score,
            "probabilities": {},
            "emotions": {},
            "aspects": [],
            "sarcasm": None,
            "model": model.name,
        }
    return added


def _judged(event: Fields, model: SentimentModel) -> bool:
    language = event["language"]
    return language is not None and language["confidence"] >= MIN_CONFIDENCE and language["code"] in model.languages


def _text(event: Fields) -> str:
    return "\n".join(part for part in (event["title"], event["text"]) if part)
