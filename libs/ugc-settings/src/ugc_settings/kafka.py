"""How a service reaches Kafka: the same variables for every service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ugc_settings.loading import Secret

_NONE = Secret()


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Address, encryption and authentication of the brokers."""

    kafka_bootstrap_servers: Annotated[
        str, Meta(description="host:port of brokers to begin with, separated by commas")
    ]
    kafka_topic_prefix: Annotated[
        str,
        Meta(
            description="put before every topic's name, for several deployments on one Kafka",
            pattern=r"\A[a-zA-Z0-9._-]*\Z",
        ),
    ] = ""
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="encryption and authentication of the connection"),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Meta(description="used with a SASL protocol"),
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[str, Meta(description="used with a SASL protocol")] = ""
    kafka_sasl_password: Annotated[Secret, Meta(description="used with a SASL protocol")] = _NONE
    kafka_ssl_ca_location: Annotated[
        str, Meta(description="PEM file of the authorities to trust; empty: the system's")
    ] = ""
    kafka_ssl_certificate_location: Annotated[
        str, Meta(description="PEM file of the client's certificate, for mutual TLS")
    ] = ""
    kafka_ssl_key_location: Annotated[
        str, Meta(description="PEM file of the client's key, for mutual TLS")
    ] = ""
    kafka_ssl_key_password: Annotated[Secret, Meta(description="opens the client's key")] = _NONE

    def __post_init__(self) -> None:
        """Refuse a SASL protocol without credentials."""
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs "
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )

    def librdkafka(self) -> dict[str, str]:
        """The connection as librdkafka's configuration properties, secrets revealed."""
        config = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": self.kafka_sasl_mechanism,
                "sasl.username": self.kafka_sasl_username,
                "sasl.password": self.kafka_sasl_password.reveal(),
            }
        if self.kafka_security_protocol.endswith("SSL"):
            tls = {
                "ssl.ca.location": self.kafka_ssl_ca_location,
                "ssl.certificate.location": self.kafka_ssl_certificate_location,
                "ssl.key.location": self.kafka_ssl_key_location,
                "ssl.key.password": self.kafka_ssl_key_password.reveal(),
            }
            config |= {name: value for name, value in tls.items() if value}
        return config
