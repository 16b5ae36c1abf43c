"""Settings: from the environment alone, and every problem with its variable's name."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from penstock.settings import Settings, SettingsError, StageSettings, load, shared, variable
from services.dedup.settings import DedupSettings
from services.enrich.settings import EnrichSettings
from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.sentiment.settings import SentimentSettings
from services.sink.settings import PostgresSettings, S3Settings


class MillSettings(Settings, env_prefix="PENSTOCK_MILL_"):
    window_s: int = Field(60, gt=0, description="how long it grinds")
    token: str | None = Field(None, min_length=8)
    postgres_dsn: str = shared("POSTGRES_DSN", "postgres://nowhere")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("PENSTOCK_SCHEMA_REGISTRY_URL", "http://127.0.0.1:8081")
    return monkeypatch


def problem() -> str:
    with pytest.raises(SettingsError) as caught:
        load(MillSettings)
    return str(caught.value)


def test_own_and_shared_variables_are_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_MILL_WINDOW_S", "5")
    environment.setenv("PENSTOCK_POSTGRES_DSN", "postgres://here")
    environment.setenv("PENSTOCK_SLOT", "2")
    settings = load(MillSettings)
    assert (settings.window_s, settings.postgres_dsn, settings.slot) == (5, "postgres://here", 2)
    assert settings.bootstrap_servers == "127.0.0.1:9092"


def test_defaults_hold_where_nothing_is_set(environment: pytest.MonkeyPatch) -> None:
    settings = load(MillSettings)
    assert (settings.window_s, settings.token, settings.data, settings.log_level) == (60, None, None, "info")


def test_a_variable_set_to_nothing_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_DATA", "")
    assert load(MillSettings).data is None


def test_a_missing_setting_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("PENSTOCK_BOOTSTRAP_SERVERS")
    assert problem().startswith("PENSTOCK_BOOTSTRAP_SERVERS is not set (Kafka's addresses")


def test_a_bad_value_is_shown_with_what_is_allowed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_MILL_WINDOW_S", "-3")
    environment.setenv("PENSTOCK_LOG_LEVEL", "loud")
    text = problem()
    assert "PENSTOCK_MILL_WINDOW_S=-3 is not allowed: Input should be greater than 0 (how long it grinds)" in text
    assert "PENSTOCK_LOG_LEVEL=loud is not allowed: Input should be 'debug', 'info', 'warning' or 'error'" in text


def test_an_unknown_variable_of_the_service_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_MILL_WINDOWS", "5")
    text = problem()
    assert "PENSTOCK_MILL_WINDOWS is not a setting; there are PENSTOCK_MILL_TOKEN, PENSTOCK_MILL_WINDOW_S" in text


def test_other_services_variables_are_not_our_business(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_LATHE_SPEED", "fast")
    load(MillSettings)


def test_a_credential_is_not_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_MILL_TOKEN", "hunter2")
    text = problem()
    assert "PENSTOCK_MILL_TOKEN is not allowed" in text
    assert "hunter2" not in text


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    settings = load(MillSettings)
    with pytest.raises(ValidationError):
        settings.window_s = 1


def test_every_field_knows_its_variable() -> None:
    assert variable(MillSettings, "window_s") == "PENSTOCK_MILL_WINDOW_S"
    assert variable(MillSettings, "postgres_dsn") == "PENSTOCK_POSTGRES_DSN"
    assert variable(MillSettings, "slot") == "PENSTOCK_SLOT"


class GateSettings(StageSettings, env_prefix="PENSTOCK_GATE_"):
    pass


def test_a_stage_is_told_when_to_stop_for_dead_letters(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_DEAD_LETTER_SHARE", "0.9")
    environment.setenv("PENSTOCK_DEAD_LETTER_LEAST", "7")
    valve = load(GateSettings).valve
    assert (valve.share, valve.window_s, valve.least_records) == (0.9, 60.0, 7)
    assert valve.setting == "PENSTOCK_DEAD_LETTER_SHARE"


@pytest.mark.parametrize("settings", [PostgresSettings, S3Settings])
def test_no_flush_may_take_as_long_as_what_livez_calls_a_hang(
    environment: pytest.MonkeyPatch, settings: type[Settings]
) -> None:
    name = variable(settings, "timeout_s")
    environment.setenv(name, str(settings.model_fields["hang_s"].default / 2))
    with pytest.raises(SettingsError, match=name):
        load(settings)


SERVICES: list[type[Settings]] = [
    IngestSettings, DedupSettings, EnrichSettings, SentimentSettings, PostgresSettings, S3Settings, GatewaySettings
]  # fmt: skip
KNOWN = {variable(settings, name) for settings in SERVICES for name in settings.model_fields}
SECRETS = {name for name in KNOWN if re.search("KEY|TOKEN|DSN", name)}
MARK = "hunter2"
numbers = st.integers(-(10**20), 10**20).map(str) | st.floats().map(str)
plausible = st.sampled_from(["true", "info", "127.0.0.1", "postgres,s3", "a=http://b", "0" * 64, "localhost:9092"])
strangers = st.from_regex(r"(PENSTOCK_(INGEST|GATEWAY)_[A-Z_]{1,9}|[a-z=]{0,9})", fullmatch=True)


@st.composite
def environments(draw: st.DrawFn) -> dict[str, str]:
    """Any text under any name; what a secret is set to holds the mark."""
    stated = draw(st.dictionaries(st.sampled_from(sorted(KNOWN)) | strangers, numbers | plausible | st.text()))
    return {name: value + MARK if name in SECRETS else value.replace(MARK, "") for name, value in stated.items()}


@pytest.mark.parametrize("settings", SERVICES, ids=lambda settings: settings.__name__)
@given(environ=environments())
def test_any_environment_gives_settings_or_an_error_that_names_variables_and_tells_no_secret(
    settings: type[Settings], environ: dict[str, str]
) -> None:
    problems = ""
    try:
        load(settings, environ)
    except SettingsError as error:
        problems = str(error)
    assert all(re.search(r"PENSTOCK_[A-Z]", line) for line in problems.splitlines()), problems
    assert MARK not in problems
