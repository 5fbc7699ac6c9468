"""A seeded day of an online cinema, and the exact answer to every question about it.

`Plan` decides and streams what the apps send, `GroundTruth` answers from what was streamed, by
the definitions of docs/metrics.md and without the pipeline's code, and `replay` sends it.
"""

from ugc_local.generator.catalogue import Film
from ugc_local.generator.messages import Poison, Refusal, Request
from ugc_local.generator.outbox import Shares
from ugc_local.generator.plan import Plan
from ugc_local.generator.sender import Outcome, ReplayError, replay
from ugc_local.generator.tokens import token_minter
from ugc_local.generator.truth import FilmTruth, GroundTruth

__all__ = [
    "Film",
    "FilmTruth",
    "GroundTruth",
    "Outcome",
    "Plan",
    "Poison",
    "Refusal",
    "ReplayError",
    "Request",
    "Shares",
    "replay",
    "token_minter",
]
