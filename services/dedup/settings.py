"""What dedup can be told, by environment variables."""

from pydantic import Field

from penstock.settings import StageSettings


class DedupSettings(StageSettings, env_prefix="PENSTOCK_DEDUP_"):
    window_s: int = Field(86_400, gt=0, description="how long after its original an event is a duplicate")
    grace_s: int = Field(
        300, ge=0, description="how far behind a partition's newest an event may be; above any produce time-out"
    )
