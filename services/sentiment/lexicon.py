"""The baseline: VADER, a lexicon with rules for English (Hutto & Gilbert, ICWSM 2014), in NLTK's implementation.

The lexicon is the file its authors publish in `vaderSentiment`; NLTK's own copy would be a download. See
docs/decisions/0008-sentiment-lexicon.md.
"""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from nltk.sentiment.vader import SentimentIntensityAnalyzer, VaderConstants

from services.sentiment.score import Verdict

_MAX_CHARACTERS = 2000
"""Of a longer text the beginning speaks for it: the cost grows with the length, and a batch must not stand still."""
_NEUTRAL_BELOW = 0.05
"""The authors' own threshold; on the training tweets it is also the best by mean recall (loadtests/accuracy.py)."""


class _Vader(SentimentIntensityAnalyzer):  # type: ignore[misc]  # NLTK has no types
    def __init__(self) -> None:  # instead of its own, which downloads
        self.lexicon_file = files("vaderSentiment").joinpath("vader_lexicon.txt").read_text("utf-8").strip()
        self.lexicon = self.make_lex_dict()
        self.constants = VaderConstants()


class Lexicon:
    languages = frozenset({"en"})

    def __init__(self) -> None:
        self._vader = _Vader()
        self.name = f"vader/nltk-{version('nltk')}"

    def judge(self, texts: Sequence[str]) -> list[Verdict]:
        return [self._judge(text[:_MAX_CHARACTERS]) for text in texts]

    def _judge(self, text: str) -> Verdict:
        compound = float(self._vader.polarity_scores(text)["compound"])
        if abs(compound) < _NEUTRAL_BELOW:
            return Verdict("neutral", compound)
        return Verdict("positive" if compound > 0 else "negative", compound)
