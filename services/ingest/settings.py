"""What ingest can be told, by environment variables."""

from ipaddress import ip_address

from pydantic import Field, SecretStr, field_validator, model_validator

from penstock.fingerprint import DEFAULT_MIN_WORDS, MAX_KEY_BYTES, MIN_KEY_BYTES, Fingerprinter
from penstock.settings import StageSettings, shared

DEFAULT_PORT = 8421


class IngestSettings(StageSettings, env_prefix="PENSTOCK_INGEST_"):
    """A replay takes the same ones, so that it has the same fingerprints."""

    fingerprint_key: SecretStr = shared(
        "FINGERPRINT_KEY",
        description=f"hexadecimal, {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; never changes: another key makes"
        " every event new once",
    )
    across_sources: bool = Field(
        default=False,
        description="articles and posts with the same title and text are one event, whatever their source",
    )
    min_words: int = Field(DEFAULT_MIN_WORDS, ge=1, description="how many words they need for that")
    host: str = Field("127.0.0.1", description="where POST /events is served; other than loopback needs a token")
    port: int | None = Field(
        None, ge=0, le=65535, description=f"none: {DEFAULT_PORT}, or the next free one; 0: any free one"
    )
    token: SecretStr | None = Field(None, min_length=16, description="what `Authorization: Bearer` must carry")
    rate_per_s: float = Field(10_000, gt=0, description="events a second that POST takes on average")
    burst: int = Field(20_000, ge=1_000, description="events that POST takes at once; at least one whole request")
    dead_letter_share: float = Field(
        1.0, gt=0, le=1, description="as of any stage, but never: strangers write events.inbox, and could stop POST"
    )
    ack_timeout_s: float = Field(5.0, gt=0, le=60, description="how long a POST waits for the broker's ack")

    @field_validator("fingerprint_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        try:
            key = bytes.fromhex(value.get_secret_value())
        except ValueError:
            raise ValueError("it must be hexadecimal") from None
        if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"it must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, not {len(key)}")
        return value

    def fingerprinter(self) -> Fingerprinter:
        key = bytes.fromhex(self.fingerprint_key.get_secret_value())
        return Fingerprinter(key, across_sources=self.across_sources, min_words=self.min_words)

    @model_validator(mode="after")
    def _strangers_need_a_token(self) -> "IngestSettings":
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"on {self.host} PENSTOCK_INGEST_TOKEN must be set: anyone could write events")
        return self


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
