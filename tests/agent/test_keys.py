"""Key presses of a call become the digits of a turn."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.keys import Keys
from agent.scope import CallScope
from tests.virtual import run_virtually, virtual_clock

TIMEOUT_MS = 2_000.0


class Phone:
    """A caller's keypad; `digits` is what became a turn, with whether the caller ended it himself."""

    def __init__(self) -> None:
        self.clock = virtual_clock()
        self.scope = CallScope("test", self.clock, lambda: self.faults.append(None))
        self.faults: list[None] = []
        self.digits: list[tuple[str, bool]] = []
        self.pressed_ms: list[float] = []
        self.interrupts = 0
        self.keys = Keys(TIMEOUT_MS, self.clock, self.scope, self._digits)

    def _digits(self, digits: str, pressed_ms: float, closed: bool) -> None:
        self.digits.append((digits, closed))
        self.pressed_ms.append(pressed_ms)

    def _interrupt(self) -> None:
        self.interrupts += 1

    async def press(self, keys: str, expected: int | None = None, gap_ms: float = 200.0) -> None:
        for key in keys:
            self.keys.press(key, expected, self._interrupt)
            await self.clock.sleep(gap_ms)


def scenario(play: Callable[[Phone], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        phone = Phone()
        await play(phone)
        phone.scope.stop_timers()
        assert phone.faults == []

    run_virtually(whole)


def test_a_pause_ends_the_digits() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("1234")
        last_ms = phone.clock.now_ms() - 200.0
        assert phone.keys.pending
        await phone.clock.sleep(TIMEOUT_MS - 250)
        assert phone.digits == []
        await phone.clock.sleep(100)
        assert phone.digits == [("1234", False)]
        assert phone.pressed_ms == [pytest.approx(last_ms)]
        assert not phone.keys.pending

    scenario(play)


def test_each_key_starts_the_pause_anew() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("123", gap_ms=TIMEOUT_MS - 100)
        assert phone.digits == []
        await phone.clock.sleep(TIMEOUT_MS)
        assert phone.digits == [("123", False)]

    scenario(play)


def test_hash_ends_the_digits_at_once() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("42#")
        assert phone.digits == [("42", True)]
        await phone.clock.sleep(10_000)
        assert phone.digits == [("42", True)]

    scenario(play)


def test_as_many_as_were_asked_for_end_the_digits_at_once() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("1234", expected=4)
        assert phone.digits == [("1234", True)]

    scenario(play)


def test_a_hash_after_a_complete_number_is_no_turn_of_its_own() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("1234#", expected=4)
        assert phone.digits == [("1234", True)]
        await phone.press("#")
        assert phone.digits == [("1234", True), ("#", True)]

    scenario(play)


def test_nor_is_a_hash_right_after_the_pause() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("12", gap_ms=100)
        await phone.clock.sleep(TIMEOUT_MS)
        await phone.press("#")
        assert phone.digits == [("12", False)]

    scenario(play)


def test_a_hash_much_later_is_a_key_of_its_own() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("1234", expected=4)
        await phone.clock.sleep(TIMEOUT_MS + 100)
        await phone.press("#")
        assert phone.digits == [("1234", True), ("#", True)]

    scenario(play)


def test_a_second_hash_after_one_that_ended_the_digits_is_heard() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("12##")
        assert phone.digits == [("12", True), ("#", True)]

    scenario(play)


def test_each_key_that_completes_nothing_interrupts() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("123", expected=3)
        assert phone.interrupts == 2

    scenario(play)


def test_what_is_no_key_is_ignored() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("x é")
        phone.keys.press("", None, phone._interrupt)
        phone.keys.press("12", None, phone._interrupt)
        await phone.clock.sleep(10_000)
        assert phone.digits == []
        assert phone.interrupts == 0

    scenario(play)


def test_the_number_of_digits_is_that_of_the_first_key() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("1", expected=3)
        await phone.press("2", expected=None)
        await phone.press("3", expected=9)
        assert phone.digits == [("123", True)]

    scenario(play)


def test_a_call_that_is_over_takes_no_digits_any_more() -> None:
    async def play(phone: Phone) -> None:
        await phone.press("12")
        phone.scope.stop_timers()
        await phone.clock.sleep(10_000)
        assert phone.digits == []

    scenario(play)
