import pytest

from loadtest.bulk import figures as figures_module
from loadtest.bulk.figures import Figures
from loadtest.scenarios.timeline import MAX_POINTS, Timeline


def test_a_point_has_what_happened_since_the_last_one() -> None:
    timeline, figures = Timeline(), Figures()
    figures.turns, figures.unanswered = 3, 1
    figures.voice_to_voice_ms += [100.0, 200.0]
    first = timeline.add(1.0, 10, 9, figures, {"rss_mb": 80.0})
    assert (first["turns"], first["errors"], first["answers"]) == (3, 1, 2)
    assert (first["p50_ms"], first["p95_ms"], first["rss_mb"]) == (100.0, 200.0, 80.0)
    figures.turns = 4
    figures.keys_to_voice_ms.append(40.0)
    second = timeline.add(2.0, 10, 10, figures, {})
    assert (second["turns"], second["errors"], second["answers"], second["p50_ms"]) == (1, 0, 1, None)


def test_a_new_step_begins_at_zero() -> None:
    timeline = Timeline()
    timeline.add(1.0, 1, 1, Figures(turns=50), {})
    assert timeline.add(2.0, 1, 1, Figures(turns=2), {})["turns"] == 2


def test_long_runs_have_fewer_points_and_lose_no_error() -> None:
    timeline, figures = Timeline(), Figures()
    for second in range(MAX_POINTS + 1):
        figures.turns += 1
        figures.unanswered += second % 10 == 0
        timeline.add(float(second), 2, 2 if second % 100 else 1, figures, {})
    assert len(timeline.points) <= MAX_POINTS // 2 + 1
    assert sum(point["turns"] for point in timeline.points) == figures.turns
    assert sum(point["errors"] for point in timeline.points) == figures.unanswered
    assert min(point["calls"] for point in timeline.points) == 1


def test_lists_stay_bounded_in_a_run_of_days_and_no_answer_is_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures_module, "MAX_SAMPLES", 10)
    timeline, figures = Timeline(), Figures()
    for second in range(1, 9):
        figures.voice_to_voice_ms += [500.0] * 4
        point = timeline.add(float(second), 10, 10, figures, {})
        assert point["answers"] == 4
    assert len(figures.voice_to_voice_ms) <= 10
