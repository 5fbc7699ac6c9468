"""One broker and one ClickHouse for the whole run; tests isolate themselves by prefixes and names."""

pytest_plugins = ["ugc_local.testing"]
