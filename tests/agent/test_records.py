"""Records as JSON, and an observer that watches nothing."""

import dataclasses

import orjson

from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import NOT_READ, CallObserver, CallRecord, ClientReport, TurnRecord


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
    observer.turn_leaves(record, TurnRecord(0, 0.0, "en"))
    observer.barge_in(record, 100.0)
    observer.record_stage(record, Stage.SERVER_CANCEL, 1.0)
    observer.record_client(record, None, {"rtt_ms": 5.0})
    observer.call_ended(record)
    assert dataclasses.asdict(record) == before


def test_turns_are_found_by_their_number_whatever_has_been_let_go() -> None:
    record = CallRecord("c1", CallInfo("webrtc", "CA1"), 0.0, "en")
    record.turns.extend(TurnRecord(index, 0.0, "en") for index in range(6))
    for _ in range(2):
        record.let_go()
    assert (record.turn_count, record.left_out) == (6, 2)
    assert [turn.index for turn in record.between(0, 4)] == [2, 3]
    assert [turn.index for turn in record.between(3, 6)] == [3, 4, 5]
    assert record.between(0, 2) == []


def test_what_a_peer_did_not_read_is_no_bad_message() -> None:
    record = CallRecord("c1", CallInfo("telnyx-media", "CA1"), 0.0, "en")
    record.note_bad("not_json")
    record.note_bad(NOT_READ)
    record.note_bad(NOT_READ)
    assert (record.counters.bad_messages, record.counters.sends_dropped) == (1, 2)
    assert record.bad_messages == {"not_json": 1, NOT_READ: 2}


def test_kinds_of_bad_messages_are_bounded_and_their_number_is_not() -> None:
    record = CallRecord("c1", CallInfo("telnyx-media", "CA1"), 0.0, "en")
    for number in range(1_000):
        record.note_bad(f"kind-{number}")
    assert len(record.bad_messages) == 32
    assert record.counters.bad_messages == 1_000
