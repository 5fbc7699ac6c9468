"""docs/api.md says what the code does."""

import re
from dataclasses import fields
from http import HTTPStatus
from pathlib import Path

from ugc_api.ingest import Accepted, Duplicate, Rejected, Retry
from ugc_api.openapi import document
from ugc_api.reactions import RESOURCES
from ugc_api.settings import Settings
from ugc_settings import KafkaSettings

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")


def test_every_status_of_the_description_is_on_the_page_and_no_other() -> None:
    described = document(version="1", max_batch=1, max_body_bytes=1)
    answers = described["paths"]["/v1/events"]["post"]["responses"]
    listed = set(re.findall(r"^\| (\d{3}) \|", PAGE, re.M))
    assert listed == set(answers)
    assert all(HTTPStatus(int(status)) for status in listed)


def test_every_result_is_on_the_page() -> None:
    tags = {kind.__struct_config__.tag for kind in (Accepted, Duplicate, Rejected, Retry)}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == tags


def test_settings_on_the_page_exist() -> None:
    known = {field.name.upper() for kind in (Settings, KafkaSettings) for field in fields(kind)}
    named = set(re.findall(r"`((?:API|JWT|KAFKA)_[A-Z_]+)", PAGE))
    assert named
    assert named <= known


def test_limits_on_the_page_are_the_defaults() -> None:
    defaults = {field.name: field.default for field in fields(Settings)}
    assert f"{defaults['api_max_batch']:,} events (`API_MAX_BATCH`)" in PAGE
    mebibytes = defaults["api_max_body_bytes"] // 1024**2
    assert f"{mebibytes} MiB (`API_MAX_BODY_BYTES`)" in PAGE
    assert defaults["api_max_event_age_days"] == 0
    assert defaults["api_anonymous_viewers"] == "refused"


def test_every_resource_is_on_the_page() -> None:
    for resource in RESOURCES:
        assert f"PUT /v1/films/{{film_id}}/{resource.name}`" in PAGE
