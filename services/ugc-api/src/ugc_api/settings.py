"""Every setting of the API, read from the environment once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta
from ugc_settings import KafkaSettings, Secret

MIN_SECRET_BYTES = 32
"""HS256 needs a key as long as its hash (RFC 7518, section 3.2)."""

_NONE = Secret()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The API's settings; each is the environment variable of the same name in capitals."""

    kafka: KafkaSettings
    jwt_secret: Annotated[
        Secret,
        Meta(description="key of the tokens' HS256 signature, at least 32 bytes; empty: none"),
    ] = _NONE
    jwt_secret_file: Annotated[
        str,
        Meta(
            description="the same in a file that may change and hold several: one a line, or a "
            "JSON Web Key Set of kind oct"
        ),
    ] = ""
    jwt_public_key_file: Annotated[
        str,
        Meta(
            description="PEM file of the public keys that verify tokens: RSA (RS256), "
            "P-256 (ES256) or Ed25519 (EdDSA)"
        ),
    ] = ""
    jwt_jwks: Annotated[
        str,
        Meta(description="http(s) URL or file of the issuer's JSON Web Key Set"),
    ] = ""
    jwt_refresh_s: Annotated[
        int,
        Meta(
            description="how often JWT_JWKS is read again, in seconds; as long may a key that its "
            "issuer has withdrawn stay in use. Files are read at least every 10 s",
            ge=1,
        ),
    ] = 300
    jwt_algorithms: Annotated[
        str,
        Meta(
            description="signatures that are accepted, separated by commas",
            pattern=r"\A(HS256|RS256|ES256|EdDSA)(,(HS256|RS256|ES256|EdDSA))*\Z",
        ),
    ] = "HS256,RS256,ES256,EdDSA"
    jwt_scope: Annotated[
        str,
        Meta(
            description="one scope that a token has to have; empty: it is not looked at",
            pattern=r"\A[\x21\x23-\x5b\x5d-\x7e]*\Z",
        ),
    ] = ""
    jwt_audience: Annotated[
        str, Meta(description="what a token's aud has to contain; empty: aud is not looked at")
    ] = ""
    jwt_issuer: Annotated[
        str, Meta(description="what a token's iss has to be; empty: iss is not looked at")
    ] = ""
    jwt_leeway_s: Annotated[
        int, Meta(description="tolerated difference of clocks for exp and nbf", ge=0, le=300)
    ] = 10
    api_bind: Annotated[
        str, Meta(description="host:port to listen on", pattern=r"\A\S+:[0-9]{1,5}\Z")
    ] = "0.0.0.0:8080"
    api_concurrency: Annotated[
        int,
        Meta(description="requests handled at once; each waits for Kafka", ge=2, le=1024),
    ] = 256
    api_max_batch: Annotated[int, Meta(description="most events of one request", ge=1)] = 1000
    api_max_body_bytes: Annotated[
        int, Meta(description="largest body of a request, in bytes", ge=1024)
    ] = 4 * 1024 * 1024
    api_max_event_age_days: Annotated[
        int,
        Meta(description="how long ago an event may have occurred; 0 for any time", ge=0),
    ] = 0
    api_anonymous_viewers: Annotated[
        Literal["refused", "pseudonym"],
        Meta(
            description="requests without a token: refused, or taken and kept under a pseudonym "
            "of their session"
        ),
    ] = "refused"
    api_cors_origins: Annotated[
        str,
        Meta(
            description="origins of web pages that may call the API, separated by commas, such as "
            "https://cinema.example; * for any; empty: none",
            pattern=r"\A(\*|(https?://[^\s/,*]+(,https?://[^\s/,*]+)*)?)\Z",
        ),
    ] = ""
    api_requests_per_minute: Annotated[
        int,
        Meta(description="requests of one viewer in a minute, in each pod; 0 for any number", ge=0),
    ] = 600
    api_events_per_minute: Annotated[
        int,
        Meta(
            description="events of one viewer in a minute, in each pod, no fewer than "
            "API_MAX_BATCH; 0 for any number",
            ge=0,
        ),
    ] = 12_000
    api_proxy_hops: Annotated[
        int,
        Meta(
            description="proxies in front whose X-Forwarded-For and X-Forwarded-Proto are "
            "believed; 0: nobody's",
            ge=0,
            le=10,
        ),
    ] = 0
    api_client_timeout_s: Annotated[
        int,
        Meta(
            description="how long a client may take to send a request, and again to take the "
            "answer, in seconds; it is cut off then",
            ge=1,
        ),
    ] = 20
    api_max_held_kbytes: Annotated[
        int,
        Meta(
            description="requests in memory that are arriving or being handled, and answers that "
            "their clients have not read, in kibibytes; beyond it the oldest of those that arrive "
            "or are not read are cut",
            ge=1024,
        ),
    ] = 64 * 1024
    api_stop_grace_s: Annotated[
        int,
        Meta(
            description="after SIGTERM, seconds for requests in flight to end; longer than "
            "KAFKA_DELIVERY_TIMEOUT_MS, shorter than what the supervisor waits before it kills",
            ge=1,
        ),
    ] = 25
    kafka_delivery_timeout_ms: Annotated[
        int,
        Meta(description="how long a request waits for Kafka's acknowledgement", ge=100),
    ] = 10_000
    kafka_linger_ms: Annotated[
        int,
        Meta(description="how long a record waits for others to share its batch", ge=0, le=1000),
    ] = 5
    kafka_queue_max_records: Annotated[
        int,
        Meta(description="records in memory that Kafka has not acknowledged, at most", ge=1),
    ] = 100_000
    kafka_queue_max_kbytes: Annotated[int, Meta(description="the same in kibibytes", ge=1024)] = (
        64 * 1024
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"

    def __post_init__(self) -> None:
        """Refuse keys that protect nothing and limits that contradict each other."""
        self._check_keys()
        if self.api_max_held_kbytes * 1024 < self.api_max_body_bytes:
            raise ValueError(
                f"API_MAX_HELD_KBYTES={self.api_max_held_kbytes} does not hold one request of "
                f"API_MAX_BODY_BYTES={self.api_max_body_bytes}"
            )
        if self.kafka_queue_max_records < self.api_max_batch:
            raise ValueError(
                f"KAFKA_QUEUE_MAX_RECORDS={self.kafka_queue_max_records} does not hold one request "
                f"of API_MAX_BATCH={self.api_max_batch}"
            )
        if 0 < self.api_events_per_minute < self.api_max_batch:
            raise ValueError(
                f"API_EVENTS_PER_MINUTE={self.api_events_per_minute} is less than "
                f"API_MAX_BATCH={self.api_max_batch}"
            )
        if self.api_stop_grace_s * 1000 <= self.kafka_delivery_timeout_ms:
            raise ValueError(
                f"API_STOP_GRACE_S={self.api_stop_grace_s} is not longer than "
                f"KAFKA_DELIVERY_TIMEOUT_MS={self.kafka_delivery_timeout_ms}"
            )

    def secrets(self) -> list[str]:
        """Every secret, revealed, for the logs to hide."""
        kafka = self.kafka
        given = (self.jwt_secret, kafka.kafka_sasl_password, kafka.kafka_ssl_key_password)
        return [secret.reveal() for secret in given if secret]

    def _check_keys(self) -> None:
        secret = self.jwt_secret.reveal()
        if self.jwt_public_key_file and self.jwt_jwks:
            raise ValueError("JWT_PUBLIC_KEY_FILE and JWT_JWKS: set one of them")
        if secret and self.jwt_secret_file:
            raise ValueError("JWT_SECRET and JWT_SECRET_FILE: set one of them")
        if not (secret or self.jwt_secret_file or self.jwt_public_key_file or self.jwt_jwks):
            raise ValueError(
                "JWT_SECRET, JWT_SECRET_FILE, JWT_PUBLIC_KEY_FILE, JWT_JWKS: none is set"
            )
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"JWT_SECRET: shorter than {MIN_SECRET_BYTES} bytes")
        if "-----BEGIN" in secret:
            raise ValueError("JWT_SECRET: a PEM key is no secret; see JWT_PUBLIC_KEY_FILE")
