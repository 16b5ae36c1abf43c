"""How often the models are right, and their cost: `python -m loadtests.accuracy FOLDER`.

FOLDER holds labelled sets that may not be published here: `langid_tatoeba` (sentences of Tatoeba with their language),
`sentiment_tweeteval_val` (TweetEval's validation tweets) and `sentiment_tweets` (tweets with a human's verdict).
"""

import csv
import gzip
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from services.enrich.fasttext_language import FastTextLanguage
from services.sentiment.lexicon import Lexicon
from services.sentiment.score import Verdict

CODES = {
    "Arabic": "ar", "Assamese": "as", "Bengali": "bn", "Dutch": "nl", "English": "en", "French": "fr",
    "German": "de", "Greek": "el", "Haitian Creole": "ht", "Hungarian": "hu", "Italian": "it", "Japanese": "ja",
    "Korean": "ko", "Mandarin": "zh", "Portugese": "pt", "Punjabi": "pa", "Romanian": "ro", "Russian": "ru",
    "Spanish": "es", "Vietnamese": "vi",
}  # fmt: skip
LABELS = ("negative", "neutral", "positive")


def languages(folder: Path) -> None:
    with (folder / "langid_tatoeba" / "languages.csv").open(encoding="utf-8-sig") as file:
        rows = [(row["sentence"], row["language"]) for row in csv.DictReader(file)]
    model = FastTextLanguage()
    started = time.perf_counter()
    found = model.detect([text for text, _ in rows])
    took_us = (time.perf_counter() - started) / len(rows) * 1e6
    right = sum(one is not None and one.code == CODES[name] for one, (_, name) in zip(found, rows, strict=True))
    print(
        f"language: {right / len(rows):.1%} of {len(rows)} sentences in {len(CODES)} languages, {took_us:.0f} us each"
    )


def sentiment(rows: Sequence[tuple[str, int]], name: str) -> None:
    model = Lexicon()
    started = time.perf_counter()
    verdicts = model.judge([text for text, _ in rows])
    took_us = (time.perf_counter() - started) / len(rows) * 1e6
    print(f"sentiment on {name}: {figures(verdicts, [label for _, label in rows])}, {took_us:.0f} us each")


def figures(verdicts: Sequence[Verdict], labels: Sequence[int]) -> str:
    pairs = Counter((LABELS.index(verdict.label), label) for verdict, label in zip(verdicts, labels, strict=True))
    accuracy = sum(pairs[label, label] for label in range(3)) / len(labels)
    recalls = [pairs[label, label] / sum(pairs[guess, label] for guess in range(3)) for label in range(3)]
    return f"accuracy {accuracy:.1%}, mean recall {sum(recalls) / 3:.1%}, {len(labels)} texts"


def main(folder: Path) -> None:
    languages(folder)
    validation = folder / "sentiment_tweeteval_val"
    texts = (validation / "val_text.txt").read_text("utf-8").split("\n")
    labels = list(map(int, (validation / "val_labels.txt").read_text().split()))
    sentiment(list(zip(texts, labels, strict=False)), "validation tweets")
    with gzip.open(folder / "sentiment_tweets" / "train.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    sentiment([(text, int(label)) for label, text in rows[::8]], "every eighth training tweet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
