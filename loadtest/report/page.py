"""The report of a run: one page that needs nothing else, in light and dark."""

import math
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from loadtest.report.plots import plots
from loadtest.report.svg import number
from loadtest.scenarios.criteria import FEW, FEW_HELP, Outcome, is_lower_limit, is_slowest
from loadtest.scenarios.result import Result, StepResult
from loadtest.scenarios.trouble import story

_BADGES = {
    Outcome.PASSED.value: ("passed", "✓ passed"),
    Outcome.FAILED.value: ("failed", "✗ failed"),
    Outcome.UNKNOWN.value: ("unsure", "not measured"),
}
_COUNTS = (
    ("turns", "turns"),
    ("unanswered", "unanswered"),
    ("wrong_answers", "something else"),
    ("barge_ins", "interruptions"),
    ("missed_barge_ins", "missed"),
    ("stale", "old audio"),
    ("gaps", "gaps"),
    ("dead_airs", "dead air"),
    ("not_greeted", "not greeted"),
    ("lost_calls", "lost"),
    ("refused_calls", "refused"),
)
_ABOUT = (
    "All latencies are measured by the callers, at their own end: real speech, a frame every 20 ms on "
    "absolute deadlines. Callers that were late themselves (p99 beyond 5 ms, or no room left on their core) "
    "make a step invalid, and it counts for nothing."
)


def page(result: Result) -> str:
    """The whole page."""
    style = resources.files("loadtest.report").joinpath("page.css").read_text("utf-8")
    name = escape(result.scenario["name"])
    charts = "".join(
        f"<section><h2>{escape(plot.title)}</h2><p>{escape(plot.says)}</p>{plot.drawn}</section>"
        for plot in plots(result)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}: Parley load test</title><style>{style}</style></head><body><main>"
        f"{_head(result)}{_tiles(result)}{_criteria(result)}{_steps(result)}{_agreement(result)}{_events(result)}"
        f'<div class="plots">{charts}</div><footer>{escape(_ABOUT)}</footer></main></body></html>'
    )


def _head(result: Result) -> str:
    kind, text = _verdict(result)
    machine = result.machine
    facts = [
        result.when.replace("T", " ").replace("+00:00", " UTC"),
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"Python {machine['python']}",
        f"load average {machine['load_average'][0]}",
        f"server at {result.target}"
        if result.target
        else f"providers: {result.scenario['providers']['profile']}",
        f"via {', '.join(result.scenario['callers']['via'])}",
    ]
    if result.scale != 1:
        facts.append(f"durations × {result.scale:g}")
    ended = f'<div class="ended">Ended before its time: {escape(result.ended)}</div>' if result.ended else ""
    return (
        f'<header><h1>{escape(result.scenario["name"])}</h1><span class="badge {kind}">{text}</span>'
        f"<p>{escape(result.scenario['summary'])}</p></header>"
        f'<div class="facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</div>{ended}'
    )


def _verdict(result: Result) -> tuple[str, str]:
    outcomes = {verdict["outcome"] for verdict in result.verdicts}
    if result.ended:
        return "failed", "ended early"
    if not result.valid:
        return "unsure", "invalid: the callers were the bottleneck"
    if Outcome.FAILED.value in outcomes:
        return "failed", "failed"
    return ("passed", "passed") if Outcome.PASSED.value in outcomes else ("unsure", "nothing measured")


def _tiles(result: Result) -> str:
    steps = [step for step in result.steps if step.valid] or result.steps
    if not steps:
        return ""
    last = steps[-1]
    heard, barge = last.callers["voice_to_voice_ms"], last.callers["barge_in_ms"]
    added = last.stages.get("added", {})
    tiles: list[tuple[str, str, float | None]] = [
        (
            "calls",
            "",
            float(result.capacity if result.capacity is not None else max(step.calls for step in steps)),
        ),
        ("voice to voice p50", "ms", heard.get("p50")),
        (_marked("voice to voice p95", heard), "ms", heard.get("p95")),
        (_marked("barge-in p95", barge), "ms", barge.get("p95")),
        (_marked("server's share p95", added), "ms", added.get("p95")),
        ("CPU per call and second", "ms", last.cpu_ms_per_call),
    ]
    if result.capacity is not None:
        tiles[0] = ("calls: the capacity", "", tiles[0][2])
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{_shown(value)}<small>{unit}</small></b><span>{escape(label)}</span></div>'
            for label, unit, value in tiles
        )
        + "</div>"
    )


def _marked(label: str, timing: dict[str, float]) -> str:
    return label + (FEW if is_slowest(timing, "p95") else "")


def _criteria(result: Result) -> str:
    rows = []
    for verdict in result.verdicts:
        kind, text = _BADGES[verdict["outcome"]]
        sign = "≥" if is_lower_limit(verdict["name"]) else "≤"
        rows.append(
            [
                f'<td class="what">{escape(verdict["name"])}{_note(verdict["help"])}</td>',
                f"<td>{sign} {verdict['limit']:g}</td>",
                f"<td><b>{_shown(verdict['measured'])}</b>{_note(verdict['note'])}</td>",
                f'<td class="{kind}">{text}</td>',
            ]
        )
    return _table("Criteria", ["", "limit", "measured", ""], rows)


def _steps(result: Result) -> str:
    """A row for each load. Of the counts only those that are not 0 everywhere: fifteen columns of 0 would
    push what matters off the page."""
    counts = [each for each in _COUNTS if any(step.callers[each[0]] for step in result.steps)]
    none = [label for name, label in _COUNTS if name not in dict(counts)]
    names = ["", "on at the end", "p50", "p95", "p99", "barge-in p95", "jitter p95", "first words lost"]
    names += [*(label for _, label in counts), "CPU ms/call", "RSS MB", "pace p99", ""]
    rows = [_step(step, [name for name, _ in counts]) for step in result.steps]
    below = f"<p>None at any load: {escape(', '.join(none))}.</p>" if none else ""
    if any(FEW in cell for row in rows for cell in row):
        below += f"<p>{escape(FEW_HELP)}</p>"
    return _table("Loads", names, rows, below)


def _step(step: StepResult, counts: Sequence[str]) -> list[str]:
    callers = step.callers
    heard = callers["voice_to_voice_ms"]
    first = (
        f"{callers['first_word_lost_ms']['count']}/{callers['first_words'] - callers['first_words_unknown']}"
    )
    cells = [
        escape(step.name),
        str(step.live),
        *(_percentile(heard, which) for which in ("p50", "p95", "p99")),
        _percentile(callers["barge_in_ms"], "p95"),
        _percentile(callers["jitter_ms"], "p95"),
        first,
        *(_shown(float(callers[name])) for name in counts),
        *(_shown(value) for value in (step.cpu_ms_per_call, step.rss_mb, step.late_p99_ms)),
    ]
    row = [f"<td>{cell}</td>" for cell in cells]
    invalid = escape("; ".join(step.bottlenecks))
    row.append(f'<td class="unsure words">{invalid}</td>' if invalid else '<td class="passed">✓</td>')
    return row


def _agreement(result: Result) -> str:
    """Whether the server's own figures can be believed: its response times against its callers' measure."""
    rows = [
        [
            f"<td>{escape(step.name)}</td>",
            f"<td>{escape(transport)}</td>",
            *(f"<td>{_shown(apart.get(name))}</td>" for name in ("count", "p50", "p95", "max", "bias")),
        ]
        for step in result.steps
        for transport, apart in step.agreement_ms.items()
    ]
    names = ["", "", "turns", "apart p50, ms", "apart p95, ms", "most, ms", "callers' less server's, ms"]
    unpaired = sum(step.unpaired for step in result.steps)
    below = f"<p>{unpaired} more answers, of which the server has no account.</p>" if unpaired else ""
    return _table("Server's response time against its callers' measure", names, rows, below)


def _events(result: Result) -> str:
    rows = []
    for event in result.events:
        hurt = math.isinf(event.recovery_s)
        kind = "failed" if hurt else "unsure" if math.isnan(event.recovery_s) else "passed"
        recovered = "not in time" if math.isinf(event.recovery_s) else _shown(event.recovery_s)
        rows.append(
            [
                f"<td>{escape(event.do.replace('_', ' '))}</td>",
                f"<td>{event.at_s:.0f}</td>",
                f'<td class="{kind}">{recovered}</td>',
                f'<td class="words">{escape(story(event))}</td>',
            ]
        )
    return _table("Troubles", ["", "at, s", "well again after, s", ""], rows)


def _percentile(timing: dict[str, float], which: str) -> str:
    return _shown(timing.get(which)) + (FEW if is_slowest(timing, which) else "")


def _note(text: str) -> str:
    return f"<br><small>{escape(text)}</small>" if text else ""


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], below: str = "") -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<section class="wide"><h2>{title}</h2><table><tr>{head}</tr>{body}</table>{below}</section>'


def _shown(value: Any) -> str:
    if value is None or math.isnan(value):
        return "–"
    return "never" if math.isinf(value) else number(value)
