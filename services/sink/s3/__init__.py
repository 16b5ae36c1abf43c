"""The sink into an object store: Parquet files that count from the moment a manifest names them."""
