"""The lake: Parquet files in an object store, of which only those that a manifest names count.

The sink writes it, the ledger and every other reader read it, `penstock lake vacuum` cleans it. How the commit works,
and why, is in docs/decisions/0006-manifest-commit.md.
"""
