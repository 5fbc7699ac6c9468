"""The wire contract's own judgement of a request, for comparison with what is expected of it."""

from itertools import count
from uuid import UUID

from ugc_events import Event, Invalid, decode_submission, split_batch
from ugc_local.generator import Refusal, Request


def judge(request: Request, received_at_ms: int) -> list[Event | Invalid]:
    """Decode every event of the request as the API does."""
    parts = split_batch(request.body)
    assert not isinstance(parts, Invalid)
    assert len(parts) <= 1_000
    ours = count(1)
    return [
        decode_submission(
            part,
            user_id=request.user_id,
            received_at=received_at_ms,
            new_event_id=lambda: UUID(int=next(ours)),
        )
        for part in parts
    ]


def verdicts(request: Request, received_at_ms: int) -> list[str | Refusal]:
    """The same in the form of `Request.expected`."""
    return [
        Refusal(verdict.field, verdict.reason.value)
        if isinstance(verdict, Invalid)
        else str(verdict.event_id)
        for verdict in judge(request, received_at_ms)
    ]
