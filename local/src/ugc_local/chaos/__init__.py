"""The real broker, the real engine and several ETL processes under faults; `make chaos`."""
