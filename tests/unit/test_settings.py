"""Settings: from the environment alone, and every problem with its variable's name."""

import os

import pytest
from pydantic import Field, ValidationError

from penstock.settings import Settings, SettingsError, StageSettings, load, shared, variable


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
