"""Gunicorn's configuration: `python -m gunicorn -c python:ugc_api.gunicorn_conf ugc_api.wsgi:app`.

One worker that handles many requests by turns: one Kafka producer that fills its batches from all
requests, one set of metrics. More throughput is more pods.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from ugc_settings import SettingsError, load

from ugc_api import logs
from ugc_api.allocator import collect_garbage_seldom, share_few_heaps
from ugc_api.settings import Settings
from ugc_api.worker import Limits, Worker

try:
    _settings = load(Settings, os.environ)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)

_log = logging.getLogger(__name__)
share_few_heaps()


class logger_class(Logger):  # type: ignore[misc]  # noqa: N801  # gunicorn's name, and it has no types
    """Leaves the format to `ugc_api.logs`, and lines about answers to the app."""

    def setup(self, cfg: Any) -> None:
        """See gunicorn."""
        self.cfg = cfg
        self.error_log.propagate = True
        logs.configure(_settings.log_level, hide=_settings.secrets())
        # What it says of each request at debug is the path as it was asked for: anything at all.
        self.error_log.setLevel(max(logging.INFO, logging.getLogger().level))

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """See gunicorn."""


_STOP_READ_S = max(
    1.0, (_settings.api_stop_grace_s - _settings.kafka_delivery_timeout_ms / 1000) / 2
)
"""Half of what the grace leaves beside waiting for Kafka; the other half is for the sink."""


class worker_class(Worker):  # noqa: N801  # gunicorn's name
    """The worker with this deployment's limits."""

    limits = Limits(
        read_timeout_s=_settings.api_client_timeout_s,
        write_timeout_s=_settings.api_client_timeout_s,
        max_body_bytes=_settings.api_max_body_bytes,
        max_held_bytes=_settings.api_max_held_kbytes * 1024,
        stop_read_s=_STOP_READ_S,
    )


bind = _settings.api_bind
workers = 1
# Places for requests that wait for Kafka; there are no threads behind them.
threads = _settings.api_concurrency
_OTHER_FILES = 96
"""Kafka's connections, libraries, pipes. A worker that has none left to accept with ends."""
_least, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted = 1000 + threads + _OTHER_FILES
if _least < _wanted:
    _least = _wanted if _most == resource.RLIM_INFINITY else min(_wanted, _most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_least, _most))
# Connections kept alive by load balancers are cheap; those of them that are silent hold no thread.
worker_connections = min(_wanted, _least) - _OTHER_FILES
# Longer than the 60 s after which common proxies close, so that they never write to a closed one.
keepalive = 75
graceful_timeout = _settings.api_stop_grace_s
# The arbiter's check that the worker's main loop lives; the loop never waits for requests.
timeout = 30
# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
# It would wait in a thread for the client, and overtake what is not sent yet.
sendfile = False
# Nobody is believed here; which proxies are is said by API_PROXY_HOPS.
forwarded_allow_ips = ""
# No second way in, and nothing written to a home directory that may not exist.
control_socket_disable = True


def post_worker_init(_worker: Any) -> None:
    """The app is loaded. Called in the worker."""
    collect_garbage_seldom()


def worker_exit(_server: Any, worker: Any) -> None:
    """Give records that nobody waits for any more a last chance. Called in the worker."""
    if not worker.booted:  # also called in the parent, which has no sink
        return
    from ugc_api.wsgi import sink  # noqa: PLC0415  # importing it makes the sink

    left = sink.close(timeout_s=max(1.0, _settings.api_stop_grace_s - _STOP_USED_S))
    if left:
        _log.warning("stopped with %d records that Kafka has not acknowledged", left)
    else:
        _log.info("stopped; nothing is left to send")


_STOP_USED_S = _STOP_READ_S + _settings.kafka_delivery_timeout_ms / 1000
"""Requests that have begun to come end within this, and the rest of the grace is for the sink."""
