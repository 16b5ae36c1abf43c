"""Settings of the enrichment service: none of its own yet."""

from penstock.settings import StageSettings


class EnrichSettings(StageSettings, env_prefix="PENSTOCK_ENRICH_"):
    pass
