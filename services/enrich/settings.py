"""Settings of the enrichment service: none of its own yet."""

from penstock.settings import Settings


class EnrichSettings(Settings, env_prefix="PENSTOCK_ENRICH_"):
    pass
