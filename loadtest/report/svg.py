"""Line, bar and stacked charts as inline SVG. No script, no fetch; colours come from the page's style sheet.

Coordinates are in units of the view box; the page scales it to the width there is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 16.0, 14.0, 44.0
COLOURS = 6
"""The style sheet has so many, `--s1` to `--s6`."""
_TICKS = 5
_MARKERS = 30
"""Lines of at most so many points show them."""
_MAX_POINTS = 400
"""Of a line: more cannot be seen and make a large page."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, in the order of x."""

    name: str
    points: Points
    colour: int = 1
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across the chart: a criterion, or an event."""

    at: float
    label: str
    vertical: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What a chart shows."""

    x: str
    y: str
    log_x: bool = False
    y_from_0: bool = True
    y_least: float = 1.0
    """The y axis goes up to this at least: no mountain is made of noise."""
    limits: tuple[Limit, ...] = field(default=())


class _Scale:
    """One axis: values to coordinates, and its round numbers."""

    def __init__(self, low: float, high: float, begin: float, end: float, *, log: bool = False) -> None:
        self.log = log and low > 0
        if high <= low:
            high = low + 1.0
        self.ticks = _decades(low, high) if self.log else _round_ticks(low, high)
        self._low, self._high = (
            (low, high) if self.log else (min(low, self.ticks[0]), max(high, self.ticks[-1]))
        )
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, self._low) / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)


def line_chart(series: Sequence[Series], axes: Axes, bars: Points = ()) -> str:
    """Lines, with bars behind them if given. An empty string where there is nothing to show."""
    series = [each for each in series if each.points]
    everything = [point for each in series for point in each.points] + list(bars)
    if not everything:
        return ""
    xs, ys = [x for x, _ in everything], [y for _, y in everything]
    ys += [limit.at for limit in axes.limits if not limit.vertical]
    low = 0.0 if axes.y_from_0 else min(ys)
    x_scale = _Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT, log=axes.log_x)
    y_scale = _Scale(low, max(*ys, low + axes.y_least), HEIGHT - BOTTOM, TOP)
    parts = [_frame(axes, x_scale, y_scale)]
    if bars:
        parts.append(_bars(bars, x_scale, y_scale))
    shown = [limit for limit in axes.limits if not limit.vertical or min(xs) <= limit.at <= max(xs)]
    parts += [_limit(limit, x_scale, y_scale) for limit in shown]
    parts += [_line(each, x_scale, y_scale) for each in series]
    return _svg(parts, HEIGHT) + legend([(each.name, each.colour) for each in series])


def stacked_rows(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str) -> str:
    """A bar for each row, of parts one after the other: a waterfall. Parts of one name share a colour."""
    rows = [(name, [part for part in parts if part[1] > 0]) for name, parts in rows]
    rows = [(name, parts) for name, parts in rows if parts]
    if not rows:
        return ""
    names = list(dict.fromkeys(part for _, parts in rows for part, _ in parts))
    left, height = 92.0, TOP + 34.0 * len(rows) + BOTTOM
    longest = max(sum(size for _, size in parts) for _, parts in rows)
    scale = _Scale(0.0, longest, left, WIDTH - RIGHT)
    drawn = [_vertical_grid(scale, height, unit)]
    for at, (name, parts) in enumerate(rows):
        top, begun = TOP + 34.0 * at + 5, 0.0
        drawn.append(_text(left - 8, top + 16, name, "end"))
        for part, size in parts:
            x, width = scale(begun), max(scale(begun + size) - scale(begun), 0.6)
            colour = names.index(part) % COLOURS + 1
            drawn.append(
                f'<rect class="f{colour}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="24" rx="2">'
                f"<title>{escape(name)}: {escape(part)} {number(size)} {escape(unit)}</title></rect>"
            )
            if width > 44:
                drawn.append(_text(x + width / 2, top + 16, number(size), "middle", "in"))
            begun += size
    return _svg(drawn, height) + legend([(name, at % COLOURS + 1) for at, name in enumerate(names)])


def legend(entries: Sequence[tuple[str, int]]) -> str:
    """Names with their colours; nothing for a single unnamed one."""
    shown = [(name, colour) for name, colour in entries if name]
    if not shown:
        return ""
    items = "".join(f'<span><i class="b{colour}"></i>{escape(name)}</span>' for name, colour in shown)
    return f'<div class="legend">{items}</div>'


def number(value: float) -> str:
    """As short as it can be read."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def thinned(points: Points) -> Points:
    """At most some hundred of them, the last one among them."""
    step = -(-len(points) // _MAX_POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def cumulative(values: Sequence[float]) -> Points:
    """Value and percentage of values that do not exceed it, for a CDF."""
    ordered = sorted(values)
    count = len(ordered)
    return thinned([(value, 100.0 * (at + 1) / count) for at, value in enumerate(ordered)])


def _frame(axes: Axes, x_scale: _Scale, y_scale: _Scale) -> str:
    parts = []
    for tick in y_scale.ticks:
        y = y_scale(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 7, y + 4, number(tick), "end"))
    parts += [_text(x_scale(tick), HEIGHT - BOTTOM + 17, number(tick), "middle") for tick in x_scale.ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axes.x, "middle", "label"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(13 {middle:.0f}) rotate(-90)">'
        f"{escape(axes.y)}</text>"
    )
    return "".join(parts)


def _vertical_grid(scale: _Scale, height: float, unit: str) -> str:
    parts = []
    for tick in scale.ticks:
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        parts.append(_text(x, height - BOTTOM + 17, number(tick), "middle"))
    parts.append(_text((LEFT + WIDTH) / 2, height - 8, unit, "middle", "label"))
    return "".join(parts)


def _bars(points: Points, x_scale: _Scale, y_scale: _Scale) -> str:
    bottom = HEIGHT - BOTTOM
    width = max((WIDTH - LEFT - RIGHT) / max(len(points), 1) * 0.7, 1.5)
    return "".join(
        f'<rect class="bad" x="{x_scale(x) - width / 2:.1f}" y="{y_scale(y):.1f}" width="{width:.1f}"'
        f' height="{max(bottom - y_scale(y), 0):.1f}"><title>{number(x)}: {number(y)}</title></rect>'
        for x, y in points
        if y > 0
    )


def _limit(limit: Limit, x_scale: _Scale, y_scale: _Scale) -> str:
    if limit.vertical:
        x = x_scale(limit.at)
        return (
            f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="mark" transform="translate({x + 10:.1f} {TOP + 4:.0f}) rotate(90)">'
            f"{escape(limit.label)}</text>"
        )
    y = y_scale(limit.at)
    line = f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(WIDTH - RIGHT - 4, y - 5, limit.label, "end", "mark")


def _line(series: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    places = [(x_scale(x), y_scale(y)) for x, y in thinned(series.points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
    drawn = f'<polyline class="l{series.colour}"{dashes} points="{path}"/>'
    if len(places) <= _MARKERS:
        drawn += "".join(
            f'<circle class="f{series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.4">'
            f"<title>{escape(series.name)} {number(value_x)}: {number(value_y)}</title></circle>"
            for (x, y), (value_x, value_y) in zip(places, series.points, strict=True)
        )
    return drawn


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _round_ticks(low: float, high: float) -> list[float]:
    """Some round numbers from at most `low` to at least `high`."""
    rough = (high - low) / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(
        (factor * magnitude for factor in (1, 2, 2.5, 5) if factor * magnitude >= rough), 10 * magnitude
    )
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(at * step, 10) for at in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20 ... within the range, and its ends."""
    steps = [factor * 10.0**power for power in range(-3, 7) for factor in (1, 2, 5)]
    return [step for step in steps if low <= step <= high] or [low, high]
