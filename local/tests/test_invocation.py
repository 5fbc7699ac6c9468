from pathlib import Path

from ugc_local.invocation import DEFAULT_DATA_DIR, typed


def test_a_message_names_what_can_be_pasted():
    assert typed("up", DEFAULT_DATA_DIR) == "make up"
    assert typed("up", Path("build/my day")) == ".venv/bin/ugc up --data-dir 'build/my day'"
