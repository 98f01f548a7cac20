"""A run second by second: what callers met, and what the server took meanwhile. No IO."""

from loadtest.bulk.figures import Figures, percentile
from loadtest.scenarios.result import Point

MAX_POINTS = 1_800
"""Half an hour of seconds. A longer run has fewer points of more seconds each."""
_SUMS = ("turns", "answers", "errors", "right", "wrong")


class Timeline:
    """Feed `add` at a steady rhythm."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._figures: Figures | None = None
        self._seen = (0, 0, 0)
        """Turns, failures and voice-to-voice samples at the last point."""
        self._keyed = 0
        self._checked = (0, 0)
        """Right and wrong answers."""

    def add(self, t_s: float, wanted: int, calls: int, figures: Figures, server: Point) -> Point:
        """What happened since the last point. `server` are its gauges."""
        if figures is not self._figures:
            # A new step began to measure.
            self._figures, self._seen, self._keyed, self._checked = figures, (0, 0, 0), 0, (0, 0)
        turns, errors, answered = self._seen
        fresh = figures.voice_to_voice_ms[answered:]
        keyed = len(figures.keys_to_voice_ms)
        point: Point = {
            "t_s": round(t_s, 2),
            "wanted": wanted,
            "calls": calls,
            "turns": figures.turns - turns,
            "answers": len(fresh) + keyed - self._keyed,
            "errors": figures.failures - errors,
            "right": figures.right_answers - self._checked[0],
            "wrong": figures.wrong_answers - self._checked[1],
            "p50_ms": round(percentile(fresh, 0.5), 1) if fresh else None,
            "p95_ms": round(percentile(fresh, 0.95), 1) if fresh else None,
            **server,
        }
        figures.thin()
        self._seen = (figures.turns, figures.failures, len(figures.voice_to_voice_ms))
        self._keyed = len(figures.keys_to_voice_ms)
        self._checked = (figures.right_answers, figures.wrong_answers)
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = [_merged(*self.points[at : at + 2]) for at in range(0, len(self.points), 2)]
        return point


def _merged(point: Point, later: Point | None = None) -> Point:
    """Two neighbours as one: sums added, the worse latency kept, everything else as it was at the end."""
    if later is None:
        return point
    merged = dict(later)
    for name in _SUMS:
        merged[name] = point[name] + later[name]
    merged["calls"] = min(point["calls"], later["calls"])
    for name in ("p50_ms", "p95_ms"):
        merged[name] = max((each[name] for each in (point, later) if each[name] is not None), default=None)
    return merged
