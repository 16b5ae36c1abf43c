"""The table `events`, partitioned by day, and the offsets that are stored with its rows.

Few indexes, since each one slows the COPY down: the key, and what the newest events of all or of one source are found
by. The day comes first in the key because a partitioned table's key must hold the column it is partitioned by.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE events (
            day date NOT NULL,
            uid bytea NOT NULL,
            source text NOT NULL,
            ingested_at timestamptz NOT NULL,
            occurred_at timestamptz NOT NULL,
            kind text NOT NULL,
            id text NOT NULL,
            version text,
            author text,
            title text,
            text text,
            url text,
            stated_language text,
            latitude double precision,
            longitude double precision,
            location_name text,
            language text,
            language_confidence double precision,
            sentiment text,
            sentiment_score double precision,
            sentiment_detail jsonb,
            measures jsonb NOT NULL,
            attributes jsonb NOT NULL,
            entities jsonb,
            keywords jsonb,
            topics jsonb,
            place jsonb,
            topic text NOT NULL,
            topic_partition integer NOT NULL,
            topic_offset bigint NOT NULL,
            PRIMARY KEY (day, uid)
        ) PARTITION BY RANGE (day)
    """)
    op.execute("CREATE INDEX events_ingested_at ON events (ingested_at DESC)")
    op.execute("CREATE INDEX events_source_ingested_at ON events (source, ingested_at DESC)")
    op.execute("""
        COMMENT ON TABLE events IS
        'One row per unique event, stored exactly once. day is the UTC day of ingest time; uid the identity that '
        'ingest gave; empty lists and unknown values are null; topic, topic_partition and topic_offset say where the '
        'sink read it.'
    """)
    op.execute("""
        CREATE TABLE offsets (
            layout text NOT NULL,
            topic text NOT NULL,
            topic_id text NOT NULL,
            partition integer NOT NULL,
            next bigint NOT NULL CHECK (next >= 0),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (layout, topic_id, partition)
        )
    """)
    op.execute("""
        COMMENT ON TABLE offsets IS
        'Where sink-postgres goes on in each Kafka partition. Changed only in the transaction that stores the rows '
        'before `next`, and only from the value it started at. A changed layout of events starts over under a new name.'
    """)


def downgrade() -> None:
    op.execute("DROP TABLE offsets")
    op.execute("DROP TABLE events")
