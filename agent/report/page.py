"""The report as one HTML file that needs nothing else."""

import math
from datetime import UTC, datetime
from html import escape

from agent.metrics.names import STAGES
from agent.report.figures import Figures, Report

WIDTH, HEIGHT = 960, 240
_LEFT, _BOTTOM, _TOP = 60, 28, 10
_STEPS = 4
_LEGEND = '<i style="background: var(--p50)"></i>median <i style="background: var(--p95)"></i>95 %'
_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1a1b25, #eef0f7); --soft: light-dark(#5d5e6d, #99a0b3);
  --card: light-dark(#fff, #141722); --line: light-dark(#e3e0ea, #262b3a);
  --p50: light-dark(#5046e5, #9a94ff); --p95: light-dark(#c25a12, #ffa063); }
body { margin: 0 auto; max-width: 1040px; padding: 32px 20px; background: light-dark(#f4f3f0, #0b0d13);
  color: var(--ink); font: 15px/1.5 "Inter", system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 26px; letter-spacing: -.02em; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0 0 10px; }
p { color: var(--soft); margin: 0 0 18px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 16px; padding: 18px 22px;
  margin-top: 16px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(126px, 1fr)); gap: 12px; }
.tiles section { margin: 0; padding: 14px 16px; color: var(--soft); font-size: 13px; white-space: nowrap; }
.tiles b { display: block; font-size: 28px; letter-spacing: -.03em; line-height: 1.3; color: var(--ink); }
.tiles small { font-size: 14px; letter-spacing: 0; color: var(--soft); font-weight: 500; }
table { border-collapse: collapse; width: 100%; min-width: 520px; table-layout: fixed; }
th { color: var(--soft); font-weight: 500; }
th, td { text-align: end; padding: 5px 8px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: start; width: 30%; } tr:last-child td { border-bottom: 0; }
svg { width: 100%; min-width: 620px; height: auto; } text { fill: var(--soft); font-size: 12px; }
.words :is(th, td):nth-child(2) { text-align: start; }
h2 i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 5px 0 10px; }
.grid { stroke: var(--line); }
.p50, .p95 { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.p50 { stroke: var(--p50); } .p95 { stroke: var(--p95); }
"""


def report_page(report: Report) -> str:
    """A complete document."""
    response = report.stages.get("response")
    tiles = (
        ("calls", f"{report.calls:,}"),
        ("turns", f"{report.turns:,}"),
        ("median response", _ms(response.p50 if response else None)),
        ("95 % response", _ms(response.p95 if response else None)),
        ("interrupted", f"{report.interrupted:,}"),
        ("unanswered", f"{report.unanswered:,}"),
        ("over a budget", f"{report.over_budget:,}"),
    )
    parts = [
        f"<h1>Parley report</h1><p>{_when(report.since_unix_s)} to {_when(report.until_unix_s)} (UTC)</p>",
        '<div class="tiles">'
        + "".join(f"<section>{escape(name)}<b>{_figure(value)}</b></section>" for name, value in tiles)
        + "</div>",
    ]
    if report.turns:
        parts.append(f"<section><h2>Response time {_LEGEND}</h2>{_chart(report)}</section>")
        parts.append(_table("Stages", _in_order(report.stages)))
        parts.append(_blown(report))
        parts += [_table(f"Response by {group}", values) for group, values in report.by.items()]
        parts.append(_table("Providers", report.providers))
    if report.causes:
        rows = "".join(f"<tr><td>{_words(name)}<td>{count}" for name, count in report.causes.items())
        parts.append(f"<section><h2>How calls ended</h2><table>{rows}</table></section>")
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>Parley report</title><style>{_STYLE}</style>'
        + "\n".join(parts)
        + "\n</html>\n"
    )


def _table(title: str, rows: dict[str, Figures]) -> str:
    if not rows:
        return ""
    head = "<tr><th>ms" + "".join(f"<th>{name}" for name in ("count", "p50", "p95", "p99", "max"))
    body = "".join(
        f"<tr><td>{_words(name)}<td>{figures.count:,}"
        + "".join(f"<td>{value:,.1f}" for value in (figures.p50, figures.p95, figures.p99, figures.max))
        for name, figures in rows.items()
    )
    return f"<section><h2>{escape(title)}</h2><table>{head}{body}</table></section>"


def _blown(report: Report) -> str:
    """How often each budget was blown, and what was done about it."""
    if not report.blown:
        return ""
    rows = "".join(
        f"<tr><td>{_words(stage)}<td>{_words(action)}<td>{count:,}"
        for stage, actions in report.blown.items()
        for action, count in sorted(actions.items())
    )
    head = "<tr><th>stage<th>what was done<th>turns"
    return f"<section><h2>Blown budgets</h2><table class='words'>{head}{rows}</table></section>"


def _chart(report: Report) -> str:
    known = [(step.unix_s, step.response) for step in report.trend if step.response is not None]
    step = _step(max((figures.p95 for _, figures in known), default=1.0))
    top = step * _STEPS
    span_s = max(report.until_unix_s - report.since_unix_s, 1.0)
    step_s = span_s / max(len(report.trend), 1)

    def x(unix_s: float) -> float:
        return _LEFT + (WIDTH - _LEFT) * (unix_s + step_s / 2 - report.since_unix_s) / span_s

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top)

    parts: list[str] = []
    for number in range(_STEPS + 1):
        level = y(step * number)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH}" y1="{level:.1f}" y2="{level:.1f}"/>')
        label = _ms(step * number)
        parts.append(f'<text x="{_LEFT - 8}" y="{level + 4:.1f}" text-anchor="end">{label}</text>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = _LEFT + (WIDTH - _LEFT) * share
        label = _when(report.since_unix_s + span_s * share)
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{label}</text>')
    for name in ("p95", "p50"):
        steps = "L".join(f"{x(at):.1f} {y(getattr(figures, name)):.1f}" for at, figures in known)
        parts.append(f'<path class="{name}" d="M{steps}"/>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _step(highest: float) -> float:
    """Round steps of the axis, so that `_STEPS` of them reach beyond `highest`."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1.0) / _STEPS))
    return next(power * each for each in (1, 2, 2.5, 5, 10) if power * each * _STEPS > highest)


def _in_order(stages: dict[str, Figures]) -> dict[str, Figures]:
    """As `agent.metrics.names` lists them: from the caller's mouth to his ear."""
    known = [name.stage.value for name in STAGES]
    return {name: stages[name] for name in (*known, *sorted(set(stages) - set(known))) if name in stages}


def _figure(value: str) -> str:
    """The unit smaller than the number."""
    number, _, unit = value.partition(" ")
    return escape(number) + (f" <small>{escape(unit)}</small>" if unit else "")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"


def _words(name: str) -> str:
    return escape(name.replace("_", " "))


def _when(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M")
