"""ClickHouse on one machine: a real server if there is one, else the chdb engine behind ours."""
