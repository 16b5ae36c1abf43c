"""Settings of the sentiment service: none of its own yet."""

from penstock.settings import Settings


class SentimentSettings(Settings, env_prefix="PENSTOCK_SENTIMENT_"):
    pass
