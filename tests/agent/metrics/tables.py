"""The tables of docs/metrics.md, made from the definitions: `python -m tests.agent.metrics.tables`."""

from agent.latency import Stage
from agent.metrics.names import DERIVED, METRICS, STAGES

_TAKEN = {
    "ours": "server",
    "provider": "server",
    "carrier": "server",
    "client": "client's report",
    "all": "server",
}
_ELSEWHERE = {
    Stage.UPLINK: "client's report of the round trip",
    Stage.DOWNLINK: "client's report of the round trip",
    Stage.CARRIER_PART: "client's report of the round trip",
}


def stages_table() -> str:
    """One line per stage."""
    lines = ["| stage | | whose | definition | taken at | target, p95 |", "|---|---|---|---|---|---|"]
    for name in STAGES:
        target = "" if name.target_ms is None else f"{name.target_ms:g} ms"
        taken = _ELSEWHERE.get(name.stage, _TAKEN[name.party.value])
        lines.append(
            f"| `{name.stage.value}` | {name.code} | {name.party.value} | {name.text} | {taken} | {target} |"
        )
    return "\n".join(lines)


def metrics_table() -> str:
    """One line per metric family."""
    lines = ["| metric | type | labels | what | target |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.text} | {metric.target} |"
        )
    return "\n".join(lines)


def derived_table() -> str:
    """One line per recording rule."""
    lines = ["| series | unit | what | target |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {each.unit} | {each.text} | {each.target} |" for each in DERIVED]
    return "\n".join(lines)


if __name__ == "__main__":
    print(stages_table(), metrics_table(), derived_table(), sep="\n\n")
