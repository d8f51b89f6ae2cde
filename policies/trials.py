"""What came of calling a partner, in words."""

import time
from collections.abc import Callable
from typing import NamedTuple

from django.db import models

from policies import audit

SECONDS = 5.0  # that one step of a test may take: the line, the greeting, the answer


class Trial(NamedTuple):
    """Whether a partner answers as it must, and what is to be said of that."""

    answers: bool
    sentence: str


def timed(ask: Callable[[], str], answered: str) -> Trial:
    """Ask something that says why it came to nothing, or ""; how long a good answer took is said before it."""
    begun = time.monotonic()
    why = ask()
    took = 1000 * (time.monotonic() - begun)
    return Trial(not why, why or f"Answered in {took:.0f} ms: {answered}")


def record(trial: Trial, partner: models.Model, *, by) -> Trial:
    """Everybody may know later who tested what, and what came of it."""
    audit.record(by, "test connection", partner, reason=trial.sentence, detail={"answers": trial.answers})
    return trial
