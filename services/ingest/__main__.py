"""`python -m services.ingest` runs the service, `python -m services.ingest replay` a replay of recorded files."""

import sys

from penstock.service import run
from services.ingest.app import build
from services.ingest.replay.command import main as replay
from services.ingest.settings import IngestSettings

if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"]:
        sys.exit(replay(sys.argv[2:]))
    run("ingest", IngestSettings, build)
