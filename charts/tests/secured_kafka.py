"""A real broker that lets in who has a password, over TLS, to what its rules allow.

What Strimzi's operators would do with the rendered topics and users is done here by Kafka's admin
API: a listener with SCRAM-SHA-512 and TLS, and the authorizer that `type: simple` stands for.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rendering import Object
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import BrokerPorts, bootstrap_servers, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.kafka.distribution import local_repository
from ugc_local.ports import LOOPBACK, free_ports
from ugc_local.process import Guard
from ugc_local.stores import await_kafka

_START_S = 120
_ASK_S = 30
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}


@dataclass(frozen=True)
class SecuredKafka:
    """The broker.

    Attributes:
        address: of the listener with TLS and SCRAM-SHA-512.
        authority: file of the certificate to trust.
        admin: reaches the listener that only the broker's own people would, as a super user.
        passwords: of each user, as Strimzi would have put them into Secrets.
    """

    address: str
    authority: Path
    admin: KafkaClient
    passwords: Mapping[str, str]

    def connection(self, user: str, **changes: str) -> dict[str, str]:
        """librdkafka's properties for one of the users."""
        return {
            "bootstrap.servers": self.address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.passwords.get(user, "none"),
            "ssl.ca.location": str(self.authority),
            "log_level": "0",
            **changes,
        }


@contextmanager
def running(folder: Path, topics: list[Object], users: list[Object]) -> Iterator[SecuredKafka]:
    """A broker with the rendered KafkaTopics and KafkaUsers."""
    authority, pair = made_certificate(folder)
    ports = BrokerPorts(*free_ports(2))
    (secured,) = free_ports(1)
    own = f"PLAINTEXT://{bootstrap_servers(ports)},CONTROLLER://{LOOPBACK}:{ports.controller}"
    listeners = f"{own},SECURED://{LOOPBACK}:{secured}"
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    overrides = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL"
        ),
        "listener.name.secured.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.secured.scram-sha-512.sasl.jaas.config": login,
        "listener.name.secured.ssl.keystore.type": "PEM",
        "listener.name.secured.ssl.keystore.location": str(pair),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Of the listener without users, which Strimzi keeps to the brokers and operators.
        "super.users": "User:ANONYMOUS",
    }
    with Guard() as guard:
        broker = start_broker(
            folder / "broker",
            ports=ports,
            repository=local_repository(os.environ),
            environ=os.environ,
            guard=guard,
            on_step=print,
            overrides=overrides,
        )
        try:
            client = KafkaClient(bootstrap_servers(ports))
            await_kafka(broker, client, Deadline.after(_START_S))
            client.create_topics(
                Topic(t["spec"]["topicName"], t["spec"]["partitions"], t["spec"]["config"])
                for t in topics
            )
            passwords = {user["metadata"]["name"]: f"password of {number}, made"
                         for number, user in enumerate(users)}  # fmt: skip
            admin = AdminClient({"bootstrap.servers": bootstrap_servers(ports)})
            _apply(admin, users, passwords | {"stranger": "of nobody's"})
            yield SecuredKafka(
                f"{LOOPBACK}:{secured}", authority, client, passwords | {"stranger": "of nobody's"}
            )
        finally:
            broker.stop(grace_s=10)


def _apply(admin: AdminClient, users: list[Object], passwords: Mapping[str, str]) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = admin.alter_user_scram_credentials(
        [
            UserScramCredentialUpsertion(name, info, password.encode())
            for name, password in passwords.items()
        ]
    )
    rules = admin.create_acls(
        [
            AclBinding(
                _RESOURCES[acl["resource"]["type"]],
                acl["resource"]["name"],
                ResourcePatternType[acl["resource"]["patternType"].upper()],
                f"User:{user['metadata']['name']}",
                "*",
                AclOperation[operation.upper()],
                AclPermissionType.ALLOW,
            )
            for user in users
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        ]
    )
    for answer in [*made.values(), *rules.values()]:
        answer.result(_ASK_S)


def made_certificate(folder: Path) -> tuple[Path, Path]:
    """Files: a certificate that signs itself, and it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kafka")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    authority, pair = folder / "ca.crt", folder / "broker.pem"
    authority.write_bytes(certificate)
    pair.write_bytes(private + certificate)
    return authority, pair
