"""Scoring judges what a model can read, and leaves the rest unjudged."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.sentiment.lexicon import Lexicon
from services.sentiment.score import Verdict, score


class Optimist:
    name = "optimist/1"
    languages = frozenset({"en"})

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def judge(self, texts: Sequence[str]) -> list[Verdict]:
        self.asked.append(texts)
        return [Verdict("positive", 1.0) for _ in texts]


def event(text: str | None, language: str | None, confidence: float = 1.0) -> dict[str, Any]:
    return {"title": None, "text": text, "language": language and {"code": language, "confidence": confidence}}


def test_only_text_in_a_language_of_the_models_is_judged() -> None:
    optimist = Optimist()
    added = score([event("good", "en"), event("gut", "de"), event("?", None), event(None, "en")], optimist)
    assert optimist.asked == [["good"]]
    assert [one["sentiment"] is not None for one in added] == [True, False, False, False]


def test_a_language_that_is_a_guess_is_not_judged_upon() -> None:
    added = score([event("good", "en", 0.49), event("good", "en", 0.5)], Optimist())
    assert [one["sentiment"] is not None for one in added] == [False, True]


def test_a_score_names_its_model() -> None:
    (added,) = score([event("good", "en")], Optimist())
    assert added["sentiment"]["model"] == "optimist/1"
    assert added["sentiment"]["label"] == "positive"


@pytest.mark.parametrize(
    ("text", "label"),
    [  # labelled tweets of the validation set's kind
        ("@VirginAmerica it's really aggressive to blast obnoxious entertainment in your guests' faces", "negative"),
        ("@VirginAmerica Really missed a prime opportunity, but I love this airline, thanks!", "positive"),
        ("Dark Souls 3 April Launch Date Confirmed With New Trailer", "neutral"),
    ],
)
def test_the_lexicon_agrees_where_it_is_easy(text: str, label: str) -> None:
    (verdict,) = Lexicon().judge([text])
    assert verdict.label == label
    assert -1 <= verdict.score <= 1
