"""The API's gunicorn configuration, less its end: a bare app has no sink to close."""

from ugc_api.gunicorn_conf import *  # noqa: F403

del worker_exit  # noqa: F821
