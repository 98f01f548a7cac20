import math

import numpy as np
import pytest

from loadtest.report.statistics import percentile_change, rank_test, rate_test


def normal(mean: float, count: int, seed: int, spread: float = 20.0) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, spread, count))


def test_the_rank_test_agrees_with_a_worked_example() -> None:
    # No pair in order: U = 0 of 64, variance 8 * 8 * 17 / 12, half a rank of correction.
    z = 31.5 / math.sqrt(8 * 8 * 17 / 12)
    p = rank_test([1.0, 2, 3, 4, 5, 6, 7, 8], [9.0, 10, 11, 12, 13, 14, 15, 16])
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert p == pytest.approx(0.00094, abs=0.00001)


def test_with_ties_the_rank_test_agrees_with_shuffling() -> None:
    before = [1.0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5]
    after = [1.0, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5]
    together = np.array(before + after)

    def u(values: np.ndarray) -> float:
        first, second = values[:12, None], values[None, 12:]
        return float(np.sum(first > second) + 0.5 * np.sum(first == second))

    chance = np.random.default_rng(5)
    off = abs(u(together) - 72)
    shuffled = [abs(u(chance.permutation(together)) - 72) >= off for _ in range(4_000)]
    assert rank_test(before, after) == pytest.approx(np.mean(shuffled), abs=0.02)


def test_equal_distributions_are_rarely_called_different() -> None:
    alarms = sum(
        rank_test(normal(500, 60, seed), normal(500, 60, 10_000 + seed)) < 0.01 for seed in range(400)
    )
    assert alarms <= 12, "1 % of 400 are 4"


def test_a_shift_is_found() -> None:
    assert rank_test(normal(500, 200, 1), normal(515, 200, 2)) < 0.001


def test_too_few_samples_tell_nothing() -> None:
    assert math.isnan(rank_test([1.0] * 7, [2.0] * 100))
    assert percentile_change(normal(500, 159, 1), normal(700, 500, 2), 0.95) is None


def test_samples_that_are_all_equal_do_not_differ() -> None:
    assert rank_test([5.0] * 20, [5.0] * 20) == 1.0


def test_a_percentile_has_an_interval_around_its_change() -> None:
    before, after = normal(500, 1_000, 1), normal(530, 1_000, 2)
    changed = percentile_change(before, after, 0.95)
    assert changed is not None
    assert changed.low < 30 < changed.high
    assert changed.excludes_0
    same = percentile_change(before, normal(500, 1_000, 3), 0.95)
    assert same is not None
    assert not same.excludes_0


def test_rates_of_rare_events_need_more_than_one_more() -> None:
    assert rate_test((0, 500), (1, 500)) > 0.5
    assert rate_test((0, 500), (15, 500)) < 0.001
    assert rate_test((0, 500), (0, 500)) == 1.0
    assert math.isnan(rate_test((0, 0), (3, 500)))


def test_the_rank_test_knows_ties() -> None:
    """By hand: 14 ones, 26 twos; the variance is 400/12 * (41 - 20280/1560), so z is 59.5/30.55."""
    before, after = [1.0] * 10 + [2.0] * 10, [1.0] * 4 + [2.0] * 16
    assert rank_test(before, after) == pytest.approx(0.0515, abs=0.0005)


def test_two_noisy_runs_of_the_same_build_seldom_differ_in_their_p95() -> None:
    chance = np.random.default_rng(3)
    intervals = [
        percentile_change(list(chance.gamma(2.0, 50.0, 200)), list(chance.gamma(2.0, 50.0, 200)), 0.95)
        for _ in range(12)
    ]
    assert None not in intervals
    assert sum(each is not None and each.excludes_0 for each in intervals) <= 1
