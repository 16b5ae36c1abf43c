"""Settings of ingest: a key that is one, and no open door to strangers."""

import pytest

from penstock.settings import SettingsError, load
from services.ingest.settings import IngestSettings, is_loopback

KEY = "00" * 32


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"):
        monkeypatch.setenv(f"PENSTOCK_{name}", "nowhere")
    monkeypatch.setenv("PENSTOCK_FINGERPRINT_KEY", KEY)
    return monkeypatch


def problem() -> str:
    with pytest.raises(SettingsError) as caught:
        load(IngestSettings)
    return str(caught.value)


def test_the_defaults_serve_this_machine_alone() -> None:
    settings = load(IngestSettings)
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", None, None)


@pytest.mark.parametrize("key", ["xyz", "00", "00" * 65, "0" * 33])
def test_a_fingerprint_key_that_is_none_is_refused_and_not_printed(environment: pytest.MonkeyPatch, key: str) -> None:
    environment.setenv("PENSTOCK_FINGERPRINT_KEY", key)
    text = problem()
    assert text.startswith("PENSTOCK_FINGERPRINT_KEY is not allowed: it must")
    assert f"={key}" not in text


def test_a_missing_fingerprint_key_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("PENSTOCK_FINGERPRINT_KEY")
    assert problem().startswith("PENSTOCK_FINGERPRINT_KEY is not set")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org"])  # noqa: S104  that is the point
def test_other_than_loopback_there_must_be_a_token(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("PENSTOCK_INGEST_HOST", host)
    assert "PENSTOCK_INGEST_TOKEN must be set" in problem()
    environment.setenv("PENSTOCK_INGEST_TOKEN", "a-token-of-enough-length")
    assert load(IngestSettings).host == host


def test_a_short_token_is_refused_and_not_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_INGEST_TOKEN", "hunter2")
    text = problem()
    assert "PENSTOCK_INGEST_TOKEN is not allowed" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)]
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_dead_letter_valve_is_open_unless_ingest_itself_is_told_a_share(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PENSTOCK_DEAD_LETTER_SHARE", "0.1")
    assert load(IngestSettings).valve.share == 1.0
    environment.setenv("PENSTOCK_INGEST_DEAD_LETTER_SHARE", "0.2")
    valve = load(IngestSettings).valve
    assert (valve.share, valve.setting) == (0.2, "PENSTOCK_INGEST_DEAD_LETTER_SHARE")
