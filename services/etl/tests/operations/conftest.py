import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def stage(kafka, clickhouse):
    from stage import Stage

    stage = Stage(kafka, clickhouse)
    yield stage
    stage.close()
