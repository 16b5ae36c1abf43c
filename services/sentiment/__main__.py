from penstock.service import run
from services.sentiment.app import build
from services.sentiment.settings import SentimentSettings

if __name__ == "__main__":
    run("sentiment", SentimentSettings, build)
