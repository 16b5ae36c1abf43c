"""Enrichment adds a language where there is text, and nothing else yet."""

import socket
from collections.abc import Sequence
from typing import Any

import pytest

from services.enrich.enrich import Language, enrich
from services.enrich.fasttext_language import FastTextLanguage


class Parrot:
    """Names each text's first word as its language, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def detect(self, texts: Sequence[str]) -> list[Language | None]:
        self.asked.append(texts)
        return [Language(text.split()[0], 1.0) for text in texts]


def event(title: str | None = None, text: str | None = None) -> dict[str, Any]:
    return {"title": title, "text": text}


def test_a_batch_is_one_question_to_the_model() -> None:
    parrot = Parrot()
    added = enrich([event("en title"), event(), event(text="de text"), event("fr", "text")], parrot)
    assert parrot.asked == [["en title", "de text", "fr\ntext"]]
    assert [one["language"] and one["language"]["code"] for one in added] == ["en", None, "de", "fr"]


def test_what_has_no_model_yet_is_there_and_empty() -> None:
    (added,) = enrich([event()], Parrot())
    assert added == {"language": None, "entities": [], "keywords": [], "topics": [], "place": None}


@pytest.fixture(scope="module")
def model() -> FastTextLanguage:
    return FastTextLanguage()


@pytest.mark.parametrize(
    ("text", "code"),
    [  # from recorded Wikipedia edits and Hacker News titles
        ("Robot inserta {{Commonscat}} que enllaça amb [[commons:category:Rallicula]]", "ca"),
        ("Show HN: A simple way to organize your links and reading list", "en"),
        ("/* Status of peremptory norms under international law */ fixed spelling of 'Wimbledon'", "en"),
    ],
)
def test_the_language_of_recorded_text_is_found(model: FastTextLanguage, text: str, code: str) -> None:
    (found,) = model.detect([text])
    assert found is not None
    assert found.code == code
    assert 0 <= found.confidence <= 1


@pytest.mark.parametrize("text", ["", "   ", "1234 5678", "!!! ???", "\n\n"])
def test_what_is_no_language_gets_none(model: FastTextLanguage, text: str) -> None:
    assert model.detect([text]) == [None]


def test_line_breaks_and_hostile_characters_do_no_harm(model: FastTextLanguage) -> None:
    assert len(model.detect(["a\nb\r\nc", "x" * 1_000_000, "\u202e\ufeff<script>alert(1)</script>"])) == 3


def test_the_model_never_opens_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the language model reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert FastTextLanguage().detect(["This is plainly English text"])[0] is not None
