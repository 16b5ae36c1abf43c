"""Settings of both sinks: where they write, and when they flush."""

from pydantic import Field

from penstock.settings import StageSettings, shared
from services.sink.policy import FlushPolicy


class PostgresSettings(StageSettings, env_prefix="PENSTOCK_SINK_POSTGRES_"):
    postgres_dsn: str = shared("POSTGRES_DSN", description="postgresql://user:password@host:port/database")
    flush_rows: int = Field(5_000, gt=0, description="rows, of all partitions, that are stored at once")
    flush_bytes: int = Field(16_000_000, gt=0, description="bytes, of all partitions, that are held at most")
    flush_age_s: float = Field(0.2, gt=0, description="how long a record waits at most")
    flush_idle_s: float = Field(0.03, gt=0, description="how long a record waits when none comes after it")
    timeout_s: float = Field(7.5, gt=0, le=7.5, description="for a flush; past it the next one finds out how it ended")

    @property
    def policy(self) -> FlushPolicy:
        return FlushPolicy(self.flush_rows, self.flush_bytes, self.flush_age_s, self.flush_idle_s, together=True)


class S3Settings(StageSettings, env_prefix="PENSTOCK_SINK_S3_"):
    object_store_url: str = shared(
        "OBJECT_STORE_URL", description="file:///folder, or s3://, gs:// or az://bucket/prefix"
    )
    flush_rows: int = Field(100_000, gt=0, description="rows of one partition that close its files")
    flush_bytes: int = Field(
        64_000_000, gt=0, description="bytes, of all partitions, that are held at most; the largest go first"
    )
    flush_age_s: float = Field(60.0, gt=0, description="how long a record waits at most")
    flush_idle_s: float = Field(5.0, gt=0, description="how long a record waits when none comes after it")
    timeout_s: float = Field(25.0, gt=0, le=25, description="for a flush; past it the next one finds out how it ended")
    uploads: int = Field(8, gt=0, le=64, description="files on their way at once")

    @property
    def policy(self) -> FlushPolicy:
        return FlushPolicy(self.flush_rows, self.flush_bytes, self.flush_age_s, self.flush_idle_s, together=False)
