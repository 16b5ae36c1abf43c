"""The embedded stack: real Kafka, schema registry and Postgres, started from wheels and jars."""
