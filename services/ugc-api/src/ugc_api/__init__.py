"""HTTP ingestion: `POST /v1/events` to Kafka."""
