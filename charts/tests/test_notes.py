"""What Helm tells after an installation, and that what it tells to do works."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rendering import CHARTS, Helm, scenarios
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_api.settings import Settings
from ugc_settings import load


def notes(helm: Helm, chart: str, scenario: str) -> str:
    values = CHARTS / chart / "ci" / f"{scenario}-values.yaml"
    said = helm.run(
        "install", "ugc", str(CHARTS / chart), "-f", str(values), "--dry-run=client", "-o", "json"
    )
    return json.loads(said)["info"]["notes"]


@pytest.mark.parametrize(("chart", "scenario"), scenarios())
def test_notes_name_what_was_made_and_no_secret(helm: Helm, chart: str, scenario: str) -> None:
    said = notes(helm, chart, scenario)
    rendered = helm.render(chart, scenario)
    assert "<no value>" not in said
    names = {f"{found['kind'].lower()}/{found['metadata']['name']}" for found in rendered.objects}
    told = set(re.findall(r"(?:deployment|statefulset|service)/[\w-]+", said))
    assert told
    assert told <= names
    for secret in rendered.all("Secret"):
        for value in secret["data"].values():
            assert base64.b64decode(value).decode() not in said


@pytest.mark.proves("the first event that the notes tell to send is taken", by="running")
def test_the_first_event_of_the_notes_is_taken(helm: Helm, tmp_path: Path) -> None:
    said = notes(helm, "ugc-api", "least")
    rendered = helm.render("ugc-api")
    environ = rendered.on_disk(rendered.one("Deployment")["spec"]["template"], tmp_path)
    program = re.search(r"python -c \\\n +'(.*)'\)", said)
    body = re.search(r"-d ('.*)$", said, re.M)
    assert program
    assert body
    token = subprocess.run(
        [sys.executable, "-c", program[1]], env=environ, check=True, capture_output=True, text=True
    ).stdout.strip()
    sent = subprocess.run(
        ["sh", "-c", f"printf %s {body[1]}"],
        env={"PATH": os.environ["PATH"]}, check=True, capture_output=True,
    ).stdout  # fmt: skip
    sink = MemorySink()
    answer = create_app(load(Settings, environ), sink).test_client().post(
        "/v1/events",
        data=sent,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    assert (answer.status_code, len(sink.records)) == (202, 1), answer.text
