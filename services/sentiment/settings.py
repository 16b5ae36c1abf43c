"""Settings of the sentiment service: none of its own yet."""

from penstock.settings import StageSettings


class SentimentSettings(StageSettings, env_prefix="PENSTOCK_SENTIMENT_"):
    pass
