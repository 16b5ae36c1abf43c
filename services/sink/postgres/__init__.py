"""The sink into Postgres: rows and the offset behind them in one transaction."""
