from penstock.service import run
from services.enrich.app import build
from services.enrich.settings import EnrichSettings

if __name__ == "__main__":
    run("enrich", EnrichSettings, build)
