"""What `ugc up` says: where everything is, and commands to paste."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from ugc_local.credentials import ANALYST, Credentials
from ugc_local.generator import Film, Plan
from ugc_local.invocation import typed
from ugc_local.state import Endpoints

VIEWER = UUID("0198a000-0000-7000-8000-000000000001")
_SESSION = UUID("0198a000-0000-7000-8000-0000000000aa")

_QUESTIONS = (
    "SELECT title, viewers, watched_minutes, round(finish_rate, 2) AS finish_rate"
    " FROM analytics.most_watched LIMIT 10",
    "SELECT title, viewers, round(completion_q50, 2) AS completion_q50, drop_off_minute"
    " FROM analytics.film_stats LIMIT 10",
    "SELECT * FROM analytics.events",
)


def films() -> Sequence[Film]:
    """The catalogue that `up` loads; the day of a plan has no say in it."""
    return Plan(seed=1, day=date(2026, 1, 1), target_events=0).catalogue


def first_steps(
    endpoints: Endpoints,
    credentials: Credentials,
    token_for: Callable[[UUID], str],
    film: Film,
    now: datetime,
    data_dir: Path,
) -> str:
    """A page of text with addresses, a viewer's token, a first event and first questions."""
    event = {
        "type": "view_progress",
        "occurred_at": now.isoformat(timespec="seconds"),
        "session_id": str(_SESSION),
        "content_id": str(film.content_id),
        "position_ms": 30_000,
        "duration_ms": film.duration_ms,
        "device": "web",
    }
    ask = 'curl -sS "$CLICKHOUSE/?default_format=PrettyCompactMonoBlock" -u "$ANALYST"'
    questions = "\n".join(f'  {ask} --data "{sql}"' for sql in _QUESTIONS)
    status, logs, down = (typed(name, data_dir) for name in ("status", "logs", "down"))
    width = len(status)
    return f"""
The platform is up.
  API          {endpoints.api_url}
  ClickHouse   {endpoints.clickhouse_http_url}  ({endpoints.clickhouse_kind})
  Kafka        {endpoints.kafka_bootstrap}
  logs         {data_dir / "logs"}

Paste this first; TOKEN is a viewer's, good for a day:
  export API={endpoints.api_url} CLICKHOUSE={endpoints.clickhouse_http_url}
  export ANALYST={ANALYST}:{credentials.analyst_password}
  export TOKEN={token_for(VIEWER)}

Send an event (a minute of “{film.title}”):
  curl -sS -w '\\n' $API/v1/events -H "Authorization: Bearer $TOKEN" \\
    -H 'Content-Type: application/json' -d '{json.dumps(event)}'

Ask questions:
{questions}

Look at it, and stop it:
  {status:<{width}}  what runs, and how well
  {logs:<{width}}  its logs
  {down:<{width}}  stops it; the data stay
"""
