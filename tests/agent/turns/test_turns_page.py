"""`docs/turns.md` draws the table of the code; `python -m tests.agent.turns.test_turns_page` writes it."""

from pathlib import Path

from agent.turns.machine import TRANSITIONS, Action, Event, State

PAGE = Path(__file__).parents[3] / "docs" / "turns.md"
BEGIN = "<!-- made from TRANSITIONS: begin -->\n"
END = "<!-- made from TRANSITIONS: end -->\n"


def diagram() -> str:
    """The states as a Mermaid diagram; `end` is left out, since it leads away from everywhere."""
    ways: dict[tuple[State, State], list[str]] = {}
    for (state, event), step in TRANSITIONS.items():
        if event is not Event.END:
            name = event.value if step.action is Action.NONE else f"{event.value} / {step.action.value}"
            ways.setdefault((state, step.state), []).append(name)
    lines = [f"    {begin.value} --> {to.value}: {', '.join(names)}" for (begin, to), names in ways.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> idle", *lines, "```"]) + "\n"


def table() -> str:
    """Events down, states across; each cell is the next state and the action."""
    states = [state for state in State if state is not State.ENDED]
    rows = [f"| | {' | '.join(f'`{state.value}`' for state in states)} |", "|---" * (len(states) + 1) + "|"]
    for event in Event:
        if event is not Event.END:
            steps = (TRANSITIONS.get((state, event)) for state in states)
            cells = (f"{step.state.value} / {step.action.value}" if step else "" for step in steps)
            rows.append(f"| `{event.value}` | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def made() -> str:
    """What stands between the two comments of the page."""
    return f"{diagram()}\n{table()}"


def test_the_page_draws_the_table_of_the_code() -> None:
    page = PAGE.read_text()
    assert page.partition(BEGIN)[2].partition(END)[0] == made()


def test_the_page_explains_each_event_and_state() -> None:
    rest = PAGE.read_text().partition(END)[2]
    for name in (*(event.value for event in Event), *(state.value for state in State)):
        assert f"`{name}`" in rest or f"`{name} /" in rest, name


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + made() + END + rest.partition(END)[2])
