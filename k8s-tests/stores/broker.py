"""The broker's pod: one Kafka that advertises the name it is given, and the platform's topics.

`python broker.py DIRECTORY HOST PARTITIONS`; clients use port 9092.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from ugc_events import registry
from ugc_local.deadline import Deadline
from ugc_local.kafka.broker import BrokerPorts, start_broker
from ugc_local.kafka.client import KafkaClient, Topic
from ugc_local.process import Guard
from ugc_local.stores import await_kafka

_JARS = Path("/opt/jars")
_PORTS = BrokerPorts(client=9092, controller=9093)
_START_S = 120.0
_STOP_S = 20.0
_LOOK_EVERY_S = 0.5


def main(directory: Path, host: str, partitions: int, environ: Mapping[str, str]) -> int:
    # The probe of readiness looks for it; one from before the pod was killed says nothing.
    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    own = f"CONTROLLER://127.0.0.1:{_PORTS.controller}"
    with Guard(grace_s=_STOP_S) as guard:
        broker = start_broker(
            directory,
            ports=_PORTS,
            repository=_JARS,
            environ=environ,
            guard=guard,
            on_step=print,
            overrides={
                "listeners": f"PLAINTEXT://0.0.0.0:{_PORTS.client},{own}",
                "advertised.listeners": f"PLAINTEXT://{host}:{_PORTS.client},{own}",
            },
        )
        told_to_stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
        client = KafkaClient(f"{host}:{_PORTS.client}")
        await_kafka(broker, client, Deadline.after(_START_S))
        there = client.topics()
        client.create_topics(
            Topic(spec.name, partitions if spec.partitioned else 1, spec.config)
            for spec in registry.topics()
            if spec.name not in there
        )
        ready.touch()
        print("ready")
        while broker.exit_status() is None:
            if told_to_stop.wait(_LOOK_EVERY_S):
                broker.stop(grace_s=_STOP_S)
                return 0
        print(broker.last_words())
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), dict(os.environ)))
