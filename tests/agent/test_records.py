"""Records as JSON, and an observer that watches nothing."""

import dataclasses

import orjson

from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import CallObserver, CallRecord, ClientReport, TurnRecord


def test_a_record_with_everything_in_it_can_be_written_as_json() -> None:
    record = CallRecord("c1", CallInfo("webrtc", "CA1", parameters={"a": "b"}), 0.0, "en")
    record.turns.append(TurnRecord(0, 5.0, "en", stages={Stage.CAPTURE: 3.0}, cache="hit"))
    record.client = ClientReport(1.0, {Stage.OUTPUT: 2.0}, rtt_ms=9.0)
    shown = orjson.loads(orjson.dumps(dataclasses.asdict(record), option=orjson.OPT_NON_STR_KEYS))
    assert shown["turns"][0]["stages"] == {"capture": 3.0}
    assert shown["turns"][0]["cache"] == "hit"
    assert shown["client"] == {
        "at_ms": 1.0, "stages": {"output": 2.0}, "rtt_ms": 9.0, "jitter_ms": None, "loss": None,
    }  # fmt: skip


def test_a_call_without_a_server_is_watched_by_nobody() -> None:
    observer, record = CallObserver(), CallRecord("c1", CallInfo("webrtc", "CA1"), 0.0, "en")
    before = dataclasses.asdict(record)
    observer.turn_ended(record, TurnRecord(0, 0.0, "en"))
    observer.barge_in(record, 100.0)
    observer.record_stage(record, Stage.SERVER_CANCEL, 1.0)
    observer.record_client(record, None, {"rtt_ms": 5.0})
    observer.call_ended(record)
    assert dataclasses.asdict(record) == before
