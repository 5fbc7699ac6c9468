"""The whole platform on one machine: real broker, ClickHouse engine, generator, demo."""
