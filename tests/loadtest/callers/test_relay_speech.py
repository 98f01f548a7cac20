"""Text turned into time: pace, sentences, interruption, preemption."""

from loadtest.callers.relay_speech import RelaySpeaker, Spell


def run(speaker: RelaySpeaker, duration_ms: float) -> list[tuple[float, Spell]]:
    return [(index * 20.0, speaker.tick()) for index in range(int(duration_ms / 20))]


def played(spells: list[tuple[float, Spell]]) -> list[str]:
    return [text for _, spell in spells for text in spell.played]


def moment(spells: list[tuple[float, Spell]], what: str) -> list[float]:
    return [at_ms for at_ms, spell in spells if getattr(spell, what)]


def test_speech_begins_330_ms_after_the_first_piece_and_lasts_as_long_as_the_text() -> None:
    speaker = RelaySpeaker()
    speaker.say("x" * 28, last=True)
    spells = run(speaker, 4000)
    assert moment(spells, "began") == [340.0]
    assert moment(spells, "finished") == [2340.0]
    assert len(moment(spells, "audible")) == 100
    assert played(spells) == ["x" * 28]
    assert speaker.idle


def test_sentences_are_reported_one_by_one_across_pieces() -> None:
    speaker = RelaySpeaker()
    for piece in ("We open at ", "8.30. On Sun", "day we are closed! ", "Anything"):
        speaker.say(piece, last=False)
    speaker.say(" else?", last=True)
    assert played(run(speaker, 10_000)) == ["We open at 8.30.", "On Sunday we are closed!", "Anything else?"]


def test_an_open_utterance_that_runs_dry_is_silent_but_not_over() -> None:
    speaker = RelaySpeaker()
    speaker.say("One moment", last=False)
    spells = run(speaker, 3000)
    assert moment(spells, "finished") != []
    assert not speaker.speaking
    assert not speaker.idle
    speaker.say("", last=True)
    run(speaker, 400)
    assert speaker.idle


def test_an_interruption_tells_the_heard_part_of_the_sentence_and_drops_all_the_rest() -> None:
    speaker = RelaySpeaker()
    speaker.say("First one. Second one is longer.", last=True)
    speaker.say("Third.", last=True)
    run(speaker, 340 + 1400)  # 19 characters
    interruption = speaker.interrupt()
    assert interruption is not None
    assert interruption.heard == "Second o"
    assert 560 <= interruption.heard_ms <= 700
    assert played(run(speaker, 3000)) == []
    assert speaker.idle


def test_nothing_is_interrupted_before_anything_was_heard() -> None:
    speaker = RelaySpeaker()
    speaker.say("Hello.", last=True)
    run(speaker, 100)
    assert speaker.interrupt() is None
    assert run(speaker, 1000)[-1][1] == Spell()


def test_preemptible_text_is_cut_by_the_next_utterance() -> None:
    speaker = RelaySpeaker()
    speaker.say("One moment please.", last=True, preemptible=True)
    run(speaker, 340 + 500)
    assert speaker.say("We open at eight.", last=True) == ["One mom"]
    assert played(run(speaker, 3000)) == ["We open at eight."]


def test_a_flood_of_text_is_bounded() -> None:
    speaker = RelaySpeaker()
    speaker.say("x" * 100_000, last=False)
    speaker.say("y", last=True)
    assert "y" not in "".join(piece.text for piece in speaker._queue)
