"""Records as JSON, and an observer that watches nothing."""

import dataclasses

import orjson

from agent.latency import Stage
from agent.lines import CallInfo
from agent.records import NOT_READ, OPEN_TURNS, CallObserver, CallRecord, ClientReport, TurnRecord, Turns


def test_a_record_with_everything_in_it_can_be_written_as_json() -> None:
    record = CallRecord("c1", CallInfo("webrtc", "CA1", parameters={"a": "b"}), 0.0, "en")
    record.turns.append(TurnRecord(0, 5.0, "en", stages={Stage.CAPTURE: 3.0}, cache="hit"))
    record.client = ClientReport(1.0, {Stage.OUTPUT: 2.0}, rtt_ms=9.0)
    shown = orjson.loads(orjson.dumps(record.whole(), option=orjson.OPT_NON_STR_KEYS))
    assert shown["turns"][0]["stages"] == {"capture": 3.0}
    assert shown["turns"][0]["cache"] == "hit"
    assert shown["client"] == {
        "at_ms": 1.0, "stages": {"output": 2.0}, "rtt_ms": 9.0, "jitter_ms": None, "loss": None,
    }  # fmt: skip


def full_turn(index: int) -> TurnRecord:
    """One with everything in it."""
    return TurnRecord(
        index, index * 5_000.25, "es", f"¿a qué hora? {index}", f"Nine. {index}", "dtmf",
        interrupted=index % 2 == 0, answered=True,
        stages={Stage.RESPONSE: 480.1 + index, Stage.ADDED: 0.1, Stage.ENDPOINTING: 300.0},
        providers={"stt": "a", "llm": "b"}, tools=["book", "book"], cache="miss",
        blown={Stage.LLM_FIRST_TOKEN: "filler"},
    )  # fmt: skip


def packed(*turns: TurnRecord) -> Turns:
    found = Turns(turns)
    found.pack()
    return found


def test_turns_that_are_over_come_back_as_they_were() -> None:
    wanted = [full_turn(0), TurnRecord(1, 7.5, "en"), *(full_turn(index) for index in range(2, 7))]
    turns = packed(*(full_turn(index) if index != 1 else TurnRecord(1, 7.5, "en") for index in range(7)))
    assert list(turns) == wanted
    assert turns == wanted
    assert packed(*wanted[:6]) != wanted
    assert turns != tuple(wanted)
    assert (turns[0], turns[-1], turns[1:3], len(turns)) == (wanted[0], wanted[-1], wanted[1:3], 7)
    # As they were noted: the dashboard shows them in this order.
    assert list(turns[0].stages) == [Stage.RESPONSE, Stage.ADDED, Stage.ENDPOINTING]
    assert repr(full_turn(3)) in repr(turns)


def test_the_last_turns_can_still_be_written_to() -> None:
    last = [full_turn(index) for index in range(3, 3 + OPEN_TURNS)]
    turns = packed(full_turn(0), full_turn(1), full_turn(2), *last)
    for turn in turns[-OPEN_TURNS:]:
        turn.agent = "cut"
        turn.stages[Stage.BARGE_IN] = 90.0
    assert [turn.agent for turn in turns] == ["Nine. 0", "Nine. 1", "Nine. 2", "cut", "cut"]
    turns.append(full_turn(5))
    turns.pack()
    assert turns[3].stages[Stage.BARGE_IN] == 90.0
    assert turns[3] is not last[0]
    assert turns[4] is last[1]


def test_what_turns_have_in_common_is_there_once() -> None:
    some, others = packed(*(full_turn(index) for index in range(6))), packed(*map(full_turn, range(4)))
    shapes = [kept[0] for kept in (*some._kept, *others._kept) if isinstance(kept, tuple)]
    assert len(shapes) == 4 + 2
    # Interrupted ones, and ones that were not.
    assert len({id(shape) for shape in shapes}) == 2


def test_packed_turns_are_let_go_and_found_by_number_like_others() -> None:
    record = CallRecord("c1", CallInfo("webrtc", "CA1"), 0.0, "en")
    for index in range(6):
        record.turns.append(full_turn(index))
        record.turns.pack()
    record.let_go()
    assert (record.turn_count, record.left_out) == (6, 1)
    assert record.between(0, 3) == [full_turn(1), full_turn(2)]
    assert record.whole()["turns"] == [full_turn(index) for index in range(1, 6)]


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
