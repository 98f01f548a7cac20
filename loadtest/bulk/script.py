"""How bulk callers behave."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """Milliseconds. `every` means: in each so many-th turn; 0 is never."""

    think_ms: tuple[float, float] = (500.0, 1500.0)
    """Between the agent's last word and the caller's next: uniform."""
    barge_every: int = 3
    """The reply is interrupted with words ..."""
    barge_after_ms: float = 1500.0
    """... after so much of it was heard."""
    cough_every: int = 0
    """The caller coughs into the reply, at the same point, and wants it to go on."""
    keys_every: int = 0
    """The caller presses keys instead of speaking ..."""
    keys: str = "1#"
    """... these: `0-9 * #`."""
    hang_up_after: int = 0
    """Turns until the caller hangs up, whatever the agent is doing then; 0 stays."""
    hang_up_after_ms: float = 0.0
    """The same by time: this on average, half as long to half as long again. 0 stays."""
    answer_within_ms: float = 5000.0
    """Then a turn counts as unanswered and the caller asks again."""


def lasts_ms(mean_ms: float, chance: random.Random) -> float:
    """How long a call lasts whose script says `hang_up_after_ms`: infinite for 0.

    Uniform, so that calls which began together do not end together.
    """
    return chance.uniform(0.5, 1.5) * mean_ms if mean_ms else math.inf
