"""The data channel's schema, both ways."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.events import (
    AgentHeard,
    AgentWords,
    CallerWords,
    CallEvent,
    Problem,
    StateChanged,
    ToolRun,
    TurnLatency,
)
from agent.latency import Stage
from transports.webrtc.messages import (
    MAX_METRICS,
    ClientMetrics,
    HangUp,
    Key,
    Ping,
    SwitchLanguage,
    Typed,
    read_message,
    write_bye,
    write_event,
    write_hello,
    write_pong,
)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (StateChanged("speaking"), {"type": "state", "state": "speaking"}),
        (CallerWords("hi", final=True), {"type": "caller", "text": "hi", "final": True}),
        (AgentWords(1, "hé", "speech"), {"type": "agent", "turn": 1, "text": "hé", "kind": "speech"}),
        (
            AgentHeard(1, "h", done=True, interrupted=True),
            {"type": "heard", "turn": 1, "text": "h", "done": True, "interrupted": True},
        ),
        (ToolRun(2, "end_call"), {"type": "tool", "turn": 2, "name": "end_call"}),
        (
            TurnLatency(3, {next(iter(Stage)): 12.345}, {"llm": "embedded"}),
            {
                "type": "latency",
                "turn": 3,
                "stages_ms": {next(iter(Stage)).value: 12.3},
                "providers": {"llm": "embedded"},
            },
        ),
        (Problem("sorry"), {"type": "error", "text": "sorry"}),
    ],
)
def test_events(event: CallEvent, fields: dict[str, Any]) -> None:
    assert json.loads(write_event(event)) == {"v": 1, **fields}


def test_the_transports_own_messages() -> None:
    assert json.loads(write_hello("c1", "en-GB", "Desk")) == {
        "v": 1, "type": "hello", "call": "c1", "language": "en-GB", "agent": "Desk",
    }  # fmt: skip
    assert json.loads(write_pong(Ping(3), 12.34)) == {"v": 1, "type": "pong", "id": 3, "t_ms": 12.3}
    assert json.loads(write_bye("fault")) == {"v": 1, "type": "bye", "cause": "fault"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "text", "text": "hi"}, Typed("hi")),
        ({"type": "language", "language": "es-ES"}, SwitchLanguage("es-ES")),
        ({"type": "dtmf", "digit": "#"}, Key("#")),
        ({"type": "hangup", "and": "more"}, HangUp()),
        ({"type": "ping", "id": 7}, Ping(7)),
        ({"type": "client", "turn": 2, "metrics": {"rtt_ms": 3}}, ClientMetrics({"rtt_ms": 3.0}, 2)),
        (
            {"type": "client", "metrics": {"a": "x", "b": None, "c": True, "d": 1.5}},
            ClientMetrics({"d": 1.5}),
        ),
        ({"type": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_wishes(fields: dict[str, Any], message: object) -> None:
    assert read_message(json.dumps({"v": 1, **fields})) == message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{}", "binary"),
        ("{", "json"),
        ("[]", "json"),
        ("{}", "version"),
        ('{"v":2,"type":"hangup"}', "version"),
        ('{"v":1,"type":"text","text":""}', "field"),
        ('{"v":1,"type":"text","text":5}', "field"),
        ('{"v":1,"type":"text","text":"' + "x" * 2001 + '"}', "field"),
        ('{"v":1,"type":"dtmf","digit":"E"}', "field"),
        ('{"v":1,"type":"ping","id":"1"}', "field"),
        ('{"v":1,"type":"ping","id":true}', "field"),
        ('{"v":1,"type":"client","metrics":[]}', "field"),
        ('{"v":1,"type":"client","metrics":{},"turn":"x"}', "field"),
        ('"' + "x" * 17_000 + '"', "too_long"),
    ],
)
def test_what_no_page_sends(data: str | bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        read_message(data)
    assert caught.value.kind == kind


def test_half_a_surrogate_pair_is_text_all_the_same() -> None:
    assert read_message('{"v":1,"type":"text","text":"\ud800"}') == Typed("?")


def test_metrics_are_bounded() -> None:
    many = {f"m{number}": number for number in range(1000)}
    message = read_message(json.dumps({"v": 1, "type": "client", "metrics": many}))
    assert isinstance(message, ClientMetrics)
    assert len(message.metrics) == MAX_METRICS


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_message(text)
    except WireError:
        pass
