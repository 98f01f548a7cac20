"""A call that lasts: its record keeps the last turns, and those who keep turns get every one."""

import dataclasses
import gc
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

from agent.observers import Observers
from agent.records import KEPT_TURNS, CallObserver, CallRecord, TurnRecord
from agent.store import TurnStore
from agent.turns.machine import State
from tests.agent.stage import Stage, play

TURNS = KEPT_TURNS + 30
WORDS = "we are open every day of the week but on a holiday there is nobody here so please do call us before"
TURN_BYTES = 1_000
"""What a turn that is over may take beside its words. It was 580 with Python 3.11."""


class Leavers(CallObserver):
    """Notes which turns leave, and that they are over by then."""

    def __init__(self) -> None:
        self.indexes: list[int] = []
        self.words: list[tuple[str, str]] = []

    def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
        assert call.turns[0] == turn
        self.indexes.append(turn.index)
        self.words.append((turn.caller, turn.agent))


def watched(stage: Stage, *observers: CallObserver) -> None:
    stage.services = dataclasses.replace(stage.services, observer=Observers([stage.observed, *observers]))


async def talk(stage: Stage, turns: int) -> None:
    """So many turns, each answered and heard."""
    for number in range(turns):
        stage.llm.says(f"Answer {number}.")
        stage.text.prompt(f"question {number}", final=True)
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)


def test_the_record_of_a_long_call_keeps_its_last_turns_and_their_numbers() -> None:
    leavers = Leavers()

    async def story(stage: Stage) -> None:
        watched(stage, leavers)
        stage.connect(greeted=True)
        await stage.until(State.IDLE)
        await talk(stage, TURNS)
        record = stage.record
        assert len(record.turns) == KEPT_TURNS
        # The greeting was turn 0.
        assert [turn.index for turn in record.turns] == list(range(TURNS + 1 - KEPT_TURNS, TURNS + 1))
        assert (record.turn_count, record.left_out) == (TURNS + 1, TURNS + 1 - KEPT_TURNS)
        assert (record.turns[-1].caller, record.turns[-1].agent) == (
            f"question {TURNS - 1}", f"Answer {TURNS - 1}.",
        )  # fmt: skip
        assert record.counters.turns == TURNS
        assert leavers.indexes == list(range(TURNS + 1 - KEPT_TURNS))
        assert leavers.words[1] == ("question 0", "Answer 0.")
        # The model is told as much as ever.
        assert ("user", "question 0") in stage.history
        assert len(stage.observed.turns) == TURNS + 1

    play(story)


def test_every_turn_of_a_long_call_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "turns.sqlite3"
    store = TurnStore(path, words=True)

    async def story(stage: Stage) -> None:
        watched(stage, store)
        stage.connect(greeted=True)
        await stage.until(State.IDLE)
        await talk(stage, TURNS)

    play(story)
    store.close()
    with closing(sqlite3.connect(path)) as found:
        rows = found.execute("SELECT turn, caller, agent FROM turns ORDER BY turn").fetchall()
    assert [row[0] for row in rows] == list(range(TURNS + 1))
    assert rows[1:] == [(n + 1, f"question {n}", f"Answer {n}.") for n in range(TURNS)]


def test_turns_that_make_no_sound_leave_the_record_as_well() -> None:
    """No turn ever tells that it sounds, as while a caller talks over everything."""
    leavers = Leavers()

    async def story(stage: Stage) -> None:
        watched(stage, leavers)
        stage.connect(greeted=True)
        await stage.until(State.IDLE)
        for number in range(TURNS):
            stage.llm.says([5_000.0, "Never said."])
            stage.text.prompt(f"and {number}", final=True)
            await stage.wait(50)
        assert len(stage.record.turns) == KEPT_TURNS
        assert len(leavers.indexes) == TURNS + 1 - KEPT_TURNS

    play(story)


def test_an_observer_that_fails_keeps_no_turn_from_leaving() -> None:
    class Broken(CallObserver):
        def turn_leaves(self, call: CallRecord, turn: TurnRecord) -> None:
            raise RuntimeError("broken")

    leavers = Leavers()

    async def story(stage: Stage) -> None:
        watched(stage, Broken(), leavers)
        stage.connect(greeted=True)
        await stage.until(State.IDLE)
        await talk(stage, KEPT_TURNS + 2)
        assert leavers.indexes == [0, 1, 2]
        assert len(stage.record.turns) == KEPT_TURNS

    play(story)


def test_a_turn_that_is_over_takes_little_more_than_its_words() -> None:
    """Counted, with turns of some 40 words on each side."""
    more = 30

    async def talk_long(stage: Stage, begin: int, until: int) -> None:
        for number in range(begin, until):
            stage.llm.says(f"Answer {number}: {WORDS} {WORDS}.")
            stage.text.prompt(f"question {number} {WORDS} {WORDS}", final=True)
            await stage.until(State.SPEAKING)
            while stage.state is not State.IDLE:
                await stage.wait(500.0)
            for witness in (stage.llm.requests, stage.observed.turns, stage.relay.said):
                witness.clear()

    async def story(stage: Stage) -> None:
        stage.connect(greeted=True)
        stage.call.audience.becomes(None)
        await stage.until(State.IDLE)
        await talk_long(stage, 0, 5)
        gc.collect()
        tracemalloc.start()
        try:
            await talk_long(stage, 5, 5 + more)
            gc.collect()
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        turns = stage.record.turns[-more:]
        assert min(len(words.split()) for turn in turns for words in (turn.caller, turn.agent)) > 40
        chars = sum(len(turn.caller) + len(turn.agent) for turn in turns)
        assert (grown - chars) / more < TURN_BYTES

    play(story)
