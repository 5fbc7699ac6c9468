"""Where the worker begins: the app for any WSGI server, made from the environment.

Imported after the fork, since the sink has threads; whoever imports it closes `sink` when the
last request is done.
"""

import os

from ugc_events import FAMILIES
from ugc_settings import load

from ugc_api.adapters.kafka import KafkaSink
from ugc_api.http.app import create_app
from ugc_api.settings import Settings
from ugc_api.turns import Turns

_settings = load(Settings, os.environ)
_turns = Turns()
sink = KafkaSink(
    _settings.kafka.librdkafka(),
    topics=[family.topic_of(_settings.kafka.kafka_topic_prefix) for family in FAMILIES],
    delivery_timeout_ms=_settings.kafka_delivery_timeout_ms,
    linger_ms=_settings.kafka_linger_ms,
    queue_max_records=_settings.kafka_queue_max_records,
    queue_max_kbytes=_settings.kafka_queue_max_kbytes,
    # One place in four stays free for probes and for refusing in time.
    max_stalled=_settings.api_concurrency * 3 // 4,
    turns=_turns,
)
app = create_app(_settings, sink, turns=_turns)
