"""What the gateway can be told, by environment variables."""

from pydantic import Field, field_validator

from penstock.settings import Settings, shared
from services.gateway.scrape import Instance

DEFAULT_PORT = 8420
SINKS = ("postgres", "s3")
_SERVICES = ("ingest", "dedup", "enrich", "sentiment")

Names = frozenset[str]
"""Written as names parted by commas."""


class GatewaySettings(Settings, env_prefix="PENSTOCK_GATEWAY_"):
    host: str = Field("127.0.0.1", description="the address to listen at")
    port: int | None = Field(
        None, ge=0, le=65535, description=f"the port to listen at; not set: {DEFAULT_PORT}, or the next that is free"
    )
    topic: str = Field("events.scored", min_length=1, description="the topic that is shown")
    max_clients: int = Field(1000, ge=1, le=100_000, description="WebSockets open at once")
    queue_events: int = Field(1000, ge=1, le=1_000_000, description="events that wait for one client at most")
    queue_bytes: int = Field(8 * 1024 * 1024, ge=65_536, description="bytes that wait for one client at most")
    recent_events: int = Field(8192, ge=1, le=1_000_000, description="events kept for clients a little behind")
    recent_bytes: int = Field(32 * 1024 * 1024, ge=65_536, description="bytes kept for clients a little behind")
    allowed_hosts: Names = Field(
        frozenset(),
        description="names this gateway is called by beside localhost; * for any, behind a proxy that checks",
    )
    allowed_origins: Names = Field(
        frozenset(), description="origins, e.g. https://example.org, whose pages may connect beside our own"
    )
    services: Names = Field(
        frozenset(),
        description="where to ask for health, as name=url or name.slot=url, where PENSTOCK_DATA has no endpoints files",
    )
    postgres_dsn: str = shared("POSTGRES_DSN", description="the sink's database, which /api/events reads")
    object_store_url: str | None = shared(
        "OBJECT_STORE_URL", None, description="the sink's object store, which /api/health looks at; none: it does not"
    )
    sinks: Names = shared("SINKS", frozenset(SINKS), description=f"sinks in use, of {', '.join(SINKS)}")

    @field_validator("allowed_hosts", "allowed_origins", "services", "sinks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("services")
    @classmethod
    def _are_addresses(cls, value: frozenset[str]) -> frozenset[str]:
        for entry in value:
            instance_of(entry)
        return value

    @property
    def expected(self) -> tuple[str, ...]:
        """The services whose absence is an error."""
        return (*_SERVICES, *(f"sink-{sink}" for sink in sorted(self.sinks)), "gateway")


def instance_of(entry: str) -> Instance:
    """`dedup=http://10.0.0.7:8430` or `dedup.1=http://...`.

    Raises:
        ValueError: it is neither.
    """
    name, found, url = entry.partition("=")
    service, dotted, slot = name.partition(".")
    if not found or not service or not url.startswith(("http://", "https://")) or (dotted and not slot.isdigit()):
        raise ValueError(f"{entry!r} is not name=http://host:port")
    return Instance(service, int(slot) if dotted else 0, url.rstrip("/"))
