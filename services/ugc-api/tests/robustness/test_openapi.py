"""The API against its own document: no answer that the document does not have."""

from collections import Counter

import pytest
import schemathesis
from api_samples import NOW_MS, settings, token
from hypothesis import given
from hypothesis import settings as examples
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.core.parameters import ParameterLocation
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app

EXAMPLES = 40
# Judged below: a schema cannot say that 1.0 is no integer, that a time is not of the future, or
# that a body is coded as its header says; and a header that it forbids may be sent empty.
JUDGED_HERE = [negative_data_rejection, positive_data_acceptance]
TAKEN = {200, 202, 207}


def load():
    limits = {"api_requests_per_minute": 0, "api_events_per_minute": 0}
    app = create_app(settings(**limits), MemorySink(), clock_ms=lambda: NOW_MS)
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


OPERATIONS = {found.ok().label: found.ok() for found in load().get_all_operations()}
WITH_BODY = [label for label in OPERATIONS if not label.startswith("GET ")]


def answers(label, mode, judge):
    """How often each status was answered; every answer is one that the document has."""
    statuses = Counter()

    @examples(max_examples=EXAMPLES)
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def sent(case):
        case.headers.pop("Content-Encoding", None)
        response = case.call_and_validate(
            headers={"Authorization": f"Bearer {token()}"}, excluded_checks=JUDGED_HERE
        )
        judge(case, response.status_code)
        statuses[response.status_code] += 1

    sent()
    return statuses


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_fits_the_document_is_answered_as_it_says(label):
    statuses = answers(label, GenerationMode.POSITIVE, lambda *_: None)
    assert TAKEN & statuses.keys(), statuses


@pytest.mark.parametrize("label", WITH_BODY)
def test_a_body_that_does_not_fit_is_refused_as_it_says(label):
    def refused(case, status):
        body = case.meta.components.get(ParameterLocation.BODY)
        if body is not None and body.mode is GenerationMode.NEGATIVE:
            assert status not in {200, 202}

    statuses = answers(label, GenerationMode.NEGATIVE, refused)
    assert statuses.keys() - TAKEN, statuses
