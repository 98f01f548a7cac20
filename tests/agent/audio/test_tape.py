import random

import pytest

from agent.audio.tape import BLOCK_BYTES, Tape


def test_what_was_written_is_read_whatever_the_sizes() -> None:
    chance = random.Random(1)
    tape, wanted = Tape(), b""
    for _ in range(100):
        part = chance.randbytes(chance.choice((1, 160, 800, 3_200, BLOCK_BYTES, 10_000)))
        tape.append(part)
        wanted += part
    assert (tape.start, tape.end, len(tape)) == (0, len(wanted), len(wanted))
    for _ in range(200):
        position, size = chance.randrange(len(wanted)), chance.choice((0, 1, 160, 1_600, BLOCK_BYTES, 9_000))
        assert tape.read(position, size) == wanted[position : position + size]
    assert tape.read(0, len(wanted)) == wanted
    assert tape.read(tape.end, 160) == b""


def test_positions_stay_when_the_beginning_is_forgotten() -> None:
    tape = Tape()
    audio = bytes(range(256)) * 100
    tape.append(audio)
    tape.forget(10_000)
    assert (tape.start, len(tape)) == (10_000, len(audio) - 10_000)
    assert tape.read(10_000, 300) == audio[10_000:10_300]
    with pytest.raises(ValueError, match="9999 was forgotten"):
        tape.read(9_999, 1)
    tape.forget(5_000)
    assert tape.start == 10_000, "nothing comes back"


def test_what_is_forgotten_is_given_back() -> None:
    tape = Tape()
    for number in range(1_000):
        tape.append(bytes(800))
        tape.forget(number * 800 - 1_600)
        assert len(tape._blocks) <= 3


def test_an_emptied_tape_can_be_written_on() -> None:
    tape = Tape()
    for _ in range(3):
        tape.append(b"x" * (BLOCK_BYTES * 2))
        tape.forget(tape.end)
        assert len(tape) == 0
        assert not tape._blocks
    tape.append(b"abc")
    tape.forget(tape.end + 10)
    tape.append(b"def")
    assert tape.read(tape.start, 10) == b"def"


def test_a_tape_can_begin_anywhere() -> None:
    tape = Tape(5_000)
    tape.append(b"abc")
    assert tape.read(5_001, 2) == b"bc"
    assert (tape.start, tape.end) == (5_000, 5_003)
