"""The grace has to fit what events.raw lets ingest's clocks do."""

import pytest

from penstock.schema.catalogue import load_catalogue
from penstock.settings import SettingsError
from services.dedup.settings import AHEAD_MAX, DedupSettings

CONFIGS = load_catalogue().topic("events.raw").kafka_configs(1)
DEFAULT = DedupSettings.model_validate(
    {"bootstrap_servers": "localhost:9092", "schema_registry_url": "http://localhost"}
)


def test_the_default_fits_the_catalogue() -> None:
    DEFAULT.check_against("events.raw", CONFIGS)


def test_a_grace_of_less_than_twice_what_a_clock_may_run_ahead_is_refused() -> None:
    least_s = 2 * int(CONFIGS[AHEAD_MAX]) // 1000
    DEFAULT.model_copy(update={"grace_s": least_s}).check_against("events.raw", CONFIGS)
    with pytest.raises(
        SettingsError, match=r"PENSTOCK_DEDUP_GRACE_S=299 .* up to 150 s ahead .* Set it to 300 or more"
    ):
        DEFAULT.model_copy(update={"grace_s": least_s - 1}).check_against("events.raw", CONFIGS)
