"""Settings: read once from the environment into frozen dataclasses that document every variable.

A settings class is a frozen dataclass whose fields are annotated with a description:

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        api_bind: Annotated[str, Meta(description="host:port to listen on")] = "0.0.0.0:8080"
        kafka: KafkaSettings

`load(Settings, os.environ)` reads `API_BIND`; a nested dataclass reads the variables of its own
fields. The same declaration masks secrets and generates the documentation.
"""

from ugc_settings.kafka import KafkaSettings
from ugc_settings.loading import Secret, SettingsError, describe, load

__all__ = ["KafkaSettings", "Secret", "SettingsError", "describe", "load"]
