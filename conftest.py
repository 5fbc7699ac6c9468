"""One broker and one ClickHouse for the whole run; tests keep apart by prefixes and names."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["ugc_local.testing"]

# Tests do not assert times, and a busy machine is no failure. The examples of `make test` are the
# same in every run, so that what fails is what was changed; `make fuzz` looks for new ones.
_untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _untimed, derandomize=True)
settings.register_profile("new", _untimed, derandomize=False, max_examples=2_000)
settings.load_profile("same")
