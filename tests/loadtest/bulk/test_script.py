"""How long scripted calls last."""

import math
import random

from loadtest.bulk.script import lasts_ms


def test_calls_last_as_long_as_the_script_says_on_average_but_not_alike() -> None:
    chance = random.Random(1)
    lasts = [lasts_ms(1_000.0, chance) for _ in range(500)]
    assert 950 <= sum(lasts) / len(lasts) <= 1_050
    assert 500 <= min(lasts) < 550
    assert 1_450 < max(lasts) <= 1_500


def test_without_a_limit_nobody_hangs_up() -> None:
    assert lasts_ms(0.0, random.Random(1)) == math.inf
