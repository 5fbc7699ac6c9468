"""One broker and one ClickHouse for the whole run; tests keep apart by prefixes and names."""

pytest_plugins = ["ugc_local.testing"]
