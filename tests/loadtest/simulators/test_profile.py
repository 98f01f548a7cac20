"""Profiles: the percentiles that are asked for are the percentiles that come out."""

import random

import pytest

from loadtest.simulators.profile import MAX_TAIL, PRESETS, Profile, Timings, preset


def _percentiles(profile: Profile, count: int = 20_000) -> tuple[float, float, float]:
    rng = random.Random(7)
    delays = sorted(profile.sample(rng) for _ in range(count))
    return delays[count // 2], delays[count * 95 // 100], delays[count * 99 // 100]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_samples_have_the_published_percentiles(name: str) -> None:
    profile = PRESETS[name]
    median, p95, p99 = _percentiles(profile)
    assert median == pytest.approx(profile.median_ms, rel=0.03)
    assert p95 == pytest.approx(profile.p95_ms, rel=0.05)
    assert p99 == pytest.approx(profile.p99_ms, rel=0.15)


def test_the_tail_is_met_where_it_is_far_heavier_than_the_body() -> None:
    ink = PRESETS["cartesia.ink-2.final"]
    foretold = Profile.log_normal(ink.median_ms, ink.p95_ms).p99_ms
    assert foretold < 350 < ink.p99_ms
    assert ink.quantile(2.3263) == pytest.approx(1584, rel=0.001)
    assert ink.quantile(1.6449) == pytest.approx(328, rel=0.001)


def test_the_tail_has_an_end() -> None:
    ink = PRESETS["cartesia.ink-2.final"]
    assert ink.quantile(6.0) == MAX_TAIL * ink.p99_ms


def test_delays_never_shrink_with_the_quantile() -> None:
    profile = Profile(100, 200, 900)
    delays = [profile.quantile(z / 50) for z in range(-200, 300)]
    assert delays == sorted(delays)
    assert delays[0] > 0


def test_the_same_seed_gives_the_same_delays() -> None:
    profile = Profile(100, 200, 400)
    first = [profile.sample(random.Random(3)) for _ in range(2)]
    assert first[0] == first[1] == profile.sample(random.Random(3))


def test_a_fixed_profile_never_varies() -> None:
    rng = random.Random(1)
    assert {round(Profile.fixed(40).sample(rng), 9) for _ in range(50)} == {40.0}
    assert {Profile.fixed(0).sample(rng) for _ in range(50)} == {0.0}


def test_scaled_keeps_the_shape() -> None:
    assert Profile(100, 200, 400).scaled(0.5) == Profile(50, 100, 200)
    assert Profile(100, 200, 400).scaled(0) == Profile.fixed(0)


@pytest.mark.parametrize(
    "percentiles",
    [(200, 100, 300), (100, 300, 200), (-1, 1, 2), (0, 1, 2), (1, 2, float("inf")), (float("nan"), 1, 2)],
)
def test_percentiles_out_of_order_are_refused(percentiles: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="median"):
        Profile(*percentiles)


def test_an_unknown_preset_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no profile named 'gpt-9'.*openai\.gpt-4\.1\.first_token"):
        preset("gpt-9")


def test_timings_change_while_running_and_scale() -> None:
    timings = Timings({"first_token": Profile.fixed(500)}, scale=0.1)
    assert timings.draw_ms("first_token") == pytest.approx(50)
    timings.set("first_token", Profile.fixed(200))
    assert timings.draw_ms("first_token") == pytest.approx(20)
    assert timings.profiles == {"first_token": Profile.fixed(200)}
    with pytest.raises(ValueError, match="use one of first_token"):
        timings.set("last_token", Profile.fixed(1))
