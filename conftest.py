"""One broker and one ClickHouse for the whole run; tests keep apart by prefixes and names."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["ugc_local.testing"]

# Tests do not assert times, and a busy machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
