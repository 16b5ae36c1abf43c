"""What dedup can be told, by environment variables."""

from collections.abc import Mapping

from pydantic import Field

from penstock.settings import SettingsError, StageSettings

AHEAD_MAX = "message.timestamp.after.max.ms"
"""How far ahead of the broker's clock a topic takes timestamps."""


class DedupSettings(StageSettings, env_prefix="PENSTOCK_DEDUP_"):
    window_s: int = Field(
        86_400, gt=0,
        description="how long after its original an event is a duplicate; made longer, it reaches back no further than"
        " dedup.seen still does",
    )  # fmt: skip
    grace_s: int = Field(
        300, ge=0,
        description="how far behind a partition's newest an event may be; above any produce time-out, and at least"
        " twice what events.raw lets a clock run ahead",
    )  # fmt: skip

    def check_against(self, topic: str, configs: Mapping[str, str]) -> None:
        """
        Args:
            configs: those of the input topic, as the cluster has them.

        Raises:
            SettingsError: one clock of ingest could make the events of all others late.
        """
        ahead_ms = int(configs.get(AHEAD_MAX, 0))
        if self.grace_s * 1000 < 2 * ahead_ms:
            raise SettingsError(
                f"PENSTOCK_DEDUP_GRACE_S={self.grace_s} is not allowed: {topic} takes timestamps up to"
                f" {ahead_ms / 1000:g} s ahead ({AHEAD_MAX}), and the grace must be at least twice that, or one clock"
                f" of ingest that runs ahead makes the events of all others late. Set it to {2 * ahead_ms / 1000:g} or"
                f" more, or lower the topic's setting in schemas/topics/{topic}.yaml and run `penstock topics apply`"
            )
