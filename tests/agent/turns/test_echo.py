"""Our own voice coming back, against callers who really speak."""

import math

import pytest

from agent.turns.echo import DECIDED_MS, KEPT_MS, EchoGuard, is_echo_text
from tests import speech
from tests.speech import Scene

AGENT = speech.speech(speech.AGENT_LINES[1])
SCENES = 24


def guard_after(played: bytes, heard: bytes, now_ms: float, *, heard_from_ms: float = 0.0) -> EchoGuard:
    """A guard that got `played` from moment 0 in chunks of 200 ms, and `heard` in frames until `now_ms`."""
    guard = EchoGuard()
    for at in range(0, len(played), 3_200):
        if at / 16 < now_ms + 200:
            guard.played(played[at : at + 3_200], at / 16)
    for number, frame in enumerate(speech.frames(heard)):
        end_ms = heard_from_ms + (number + 1) * 20
        if end_ms <= now_ms:
            guard.heard(frame, end_ms)
    return guard


def begin_ms_of(scene: Scene) -> float:
    """The frame in which the caller, or else the echo, begins to be heard."""
    if math.isfinite(scene.caller_from_ms):
        return scene.caller_from_ms // 20 * 20 + 20
    return scene.echo_from_ms


def share_of(answers: list[bool | None], answer: bool | None) -> float:
    return sum(each is answer for each in answers) / len(answers)


def answers_after(scenes: list[Scene], sound_ms: float) -> list[bool | None]:
    """The guard's answers `sound_ms` after the caller, or else the echo, begins to be heard."""
    answers = []
    for scene in scenes:
        now_ms = begin_ms_of(scene) + sound_ms
        answers.append(guard_after(scene.played, scene.heard, now_ms).is_echo(now_ms))
    return answers


def test_echoes_are_recognised_within_160_ms() -> None:
    scenes = [speech.scene(number, echo=True, caller=False) for number in range(SCENES)]
    assert share_of(answers_after(scenes, 100), True) >= 0.9
    assert share_of(answers_after(scenes, 160), True) >= 0.95
    assert share_of(answers_after(scenes, 300), True) >= 0.95


def test_callers_are_not_taken_for_an_echo() -> None:
    scenes = [speech.scene(number, echo=False, caller=True) for number in range(SCENES)]
    assert share_of(answers_after(scenes, 100), True) <= 0.05
    assert share_of(answers_after(scenes, 160), False) >= 0.9
    assert share_of(answers_after(scenes, 300), False) >= 0.95


def test_callers_who_talk_over_an_echo_are_heard() -> None:
    scenes = [speech.scene(number, echo=True, caller=True) for number in range(SCENES)]
    assert share_of(answers_after(scenes, 200), False) >= 0.85
    assert share_of(answers_after(scenes, 300), False) >= 0.9


@pytest.mark.parametrize("delay_ms", [20, 150, 400, 800, 980])
@pytest.mark.parametrize("gain_db", [-6, -20, -32])
def test_echo_is_found_at_any_delay_and_level(delay_ms: float, gain_db: float) -> None:
    heard = speech.mu_law(speech.echoed(AGENT, delay_ms, gain_db, reverb_ms=150))
    now_ms = 1_800.0
    assert guard_after(AGENT, heard, now_ms).is_echo(now_ms) is True


def test_an_echo_earlier_than_the_estimate_is_found() -> None:
    heard = speech.echoed(AGENT, 0, -12)
    guard = guard_after(AGENT, heard, 1_200.0, heard_from_ms=-80)
    assert guard.is_echo(1_200.0) is True


def test_nothing_played_is_no_echo_and_costs_no_thought() -> None:
    guard = EchoGuard()
    assert guard.is_echo(0.0) is False
    for number, frame in enumerate(speech.frames(AGENT)):
        guard.heard(frame, number * 20.0)
    assert guard.is_echo(1_000.0) is False
    assert guard.echo_score(1_000.0) == 0.0


def test_played_silence_is_no_source_of_echo() -> None:
    guard = guard_after(speech.silence(3_000), AGENT, 1_500.0)
    assert guard.echo_score(1_500.0) == 0.0


def test_heard_silence_is_no_echo() -> None:
    guard = guard_after(AGENT, speech.silence(3_000), 1_500.0)
    assert guard.is_echo(1_500.0) is False


def test_what_was_cleared_is_no_longer_a_source() -> None:
    heard = speech.echoed(AGENT, 0, -12)
    now_ms = 2_000.0
    guard = guard_after(AGENT, heard, now_ms)
    assert guard.is_echo(now_ms) is True
    guard.cleared(700.0)
    assert guard.is_echo(now_ms) is False


def test_clear_in_the_middle_of_a_chunk_keeps_its_first_half() -> None:
    guard = EchoGuard()
    guard.played(AGENT[:32_000], 0.0)
    guard.cleared(1_000.0)
    for number, frame in enumerate(speech.frames(speech.echoed(AGENT, 50, -12))[:50]):
        guard.heard(frame, (number + 1) * 20.0)
    assert guard.is_echo(1_000.0) is True


def test_speech_long_after_the_agent_is_no_echo() -> None:
    now_ms = len(AGENT) / 16 + KEPT_MS + 500
    heard = speech.silence(now_ms - 500) + AGENT
    assert guard_after(AGENT, heard, now_ms).is_echo(now_ms) is False


def test_memory_is_bounded() -> None:
    guard = EchoGuard()
    for number in range(3_000):
        guard.played(bytes(320), number * 20.0)
        guard.heard(bytes(320), number * 20.0)
    assert len(guard._played) * 20 <= KEPT_MS + 100
    assert len(guard._heard) == 20
    silent = EchoGuard()
    for number in range(3_000):
        silent.played(bytes(320), number * 20.0)
    assert len(silent._played) <= 1_024


def test_wideband_lines_work_the_same() -> None:
    said = speech.speech(speech.AGENT_LINES[0], rate_hz=16_000)
    other = speech.speech(speech.CALLER_LINES[0][1], rate_hz=16_000)
    for heard, expected in ((speech.amplified(said, -14), True), (other, False)):
        guard = EchoGuard(16_000)
        guard.played(said, 0.0)
        for number, frame in enumerate(speech.frames(speech.silence(200, 16_000) + heard, 16_000)[:60]):
            guard.heard(frame, (number + 1) * 20.0)
        assert guard.is_echo(1_200.0) is expected


def test_a_rate_that_cannot_be_cut_to_8_khz_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8000"):
        EchoGuard(11_025)


def test_an_undecided_answer_is_only_given_before_160_ms_of_sound() -> None:
    answers = set()
    scenes = [speech.scene(number, echo=False, caller=True) for number in range(SCENES)]
    scenes += [speech.scene(number, echo=True, caller=False) for number in range(4)]
    for scene in scenes:
        for sound_ms in range(60, 340, 40):
            now_ms = begin_ms_of(scene) + sound_ms
            guard = guard_after(scene.played, scene.heard, now_ms)
            answer = guard.is_echo(now_ms)
            answers.add(answer)
            if guard._judge(now_ms)[1] >= DECIDED_MS:
                assert answer is not None
    assert answers == {True, False, None}


# --- by text -------------------------------------------------------------------------------------------

SPOKEN = (
    "We are open from Monday to Friday, eight in the morning until six in the evening. "
    "Which day would suit you, Tuesday or Thursday?"
)


@pytest.mark.parametrize(
    ("heard", "echo"),
    [
        # What the agent said, whole or in part.
        ("open from monday to friday", True),
        ("We are open", True),
        ("which day would suit you tuesday or thursday", True),
        # Misheard, and cut at its edges.
        ("pen from monday to friday ate in the morning", True),
        ("open from sunday to friday", False),
        ("are open from monday to friday eighth in the morning until sex in the evening", True),
        ("orning until six in the even", True),
        ("uh open from monday to friday eight in the morning", True),
        # Short answers out of the question's own words.
        ("tuesday", False),
        ("Thursday", False),
        ("tuesday morning", False),
        ("suit you", False),
        # A caller's own words around the agent's.
        ("no on monday to friday", False),
        ("tuesday or thursday please", False),
        ("monday to friday please", False),
        ("are you open from monday to friday", False),
        ("open from monday to friday eight in the morning stop", False),
        ("is it eight in the morning", False),
        # Nothing to do with it.
        ("stop", False),
        ("yes", False),
        ("can I speak to a real person", False),
        ("which of the doctors would you suggest to me", False),
        ("", False),
    ],
)
def test_echo_by_its_words(heard: str, echo: bool) -> None:
    assert is_echo_text(heard, SPOKEN) is echo


@pytest.mark.parametrize(
    ("heard", "echo"),
    [
        ("星期一到星期五上午八点", True),
        ("星期五", False),
        ("我想星期五上午来", False),
        ("星期一到星期五吗", False),
    ],
)
def test_echo_by_its_characters(heard: str, echo: bool) -> None:
    assert is_echo_text(heard, "我们星期一到星期五上午八点到下午六点营业。") is echo


def test_nothing_spoken_has_no_echo() -> None:
    assert not is_echo_text("open from monday to friday", "")
