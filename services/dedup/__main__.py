"""`python -m services.dedup`"""

from penstock.service import run
from services.dedup.app import build
from services.dedup.settings import DedupSettings

if __name__ == "__main__":
    run("dedup", DedupSettings, build)
