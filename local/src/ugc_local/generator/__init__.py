"""Seeded days of an online cinema, and the exact answer to every question about them.

`Plan` decides and streams what the apps send, `GroundTruth` answers from what is streamed, by the
definitions of docs/metrics.md and without the pipeline's code, `replay` sends it, `Journal` lets a
killed replay go on. `Likeness` measures a plan against published figures.
"""

from ugc_local.generator.catalogue import Film
from ugc_local.generator.habits import Habits
from ugc_local.generator.journal import Journal, JournalError
from ugc_local.generator.likeness import Likeness
from ugc_local.generator.messages import Poison, Refusal, Request
from ugc_local.generator.outbox import Shares
from ugc_local.generator.plan import Plan
from ugc_local.generator.sender import Outcome, ReplayError, SendPoison, replay
from ugc_local.generator.tokens import token_minter
from ugc_local.generator.truth import FilmTruth, GroundTruth

__all__ = [
    "Film",
    "FilmTruth",
    "GroundTruth",
    "Habits",
    "Journal",
    "JournalError",
    "Likeness",
    "Outcome",
    "Plan",
    "Poison",
    "Refusal",
    "ReplayError",
    "Request",
    "SendPoison",
    "Shares",
    "replay",
    "token_minter",
]
