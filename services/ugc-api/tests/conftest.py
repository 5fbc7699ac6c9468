import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

# importlib mode adds no test folder to the path; samples and contracts are shared by this
# folder's tests.
sys.path.insert(0, str(Path(__file__).parent))

from api_samples import NOW_MS, settings
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def client(sink: MemorySink) -> FlaskClient:
    return create_app(settings(), sink, clock_ms=lambda: NOW_MS).test_client()
