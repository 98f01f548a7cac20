"""Keys collected into digits; time comes in."""

from hypothesis import given
from hypothesis import strategies as st

from agent.turns.keypad import MAX_DIGITS, VALID, Keypad


def test_digits_end_with_hash_which_is_not_one_of_them() -> None:
    keypad = Keypad(2_000.0)
    assert [keypad.press(key, 0.0) for key in "4*2#"] == [None, None, None, "4*2"]
    assert keypad.pending == ""


def test_a_lone_hash_is_a_key_of_its_own() -> None:
    assert Keypad(2_000.0).press("#", 0.0) == "#"


def test_the_expected_number_of_digits_ends_them() -> None:
    keypad = Keypad(2_000.0)
    keypad.expected = 3
    assert [keypad.press(key, 0.0) for key in "1234"] == [None, None, "123", None]
    assert keypad.pending == "4"


def test_a_pause_ends_them_and_only_once() -> None:
    keypad = Keypad(2_000.0)
    keypad.press("1", 1_000.0)
    keypad.press("2", 2_500.0)
    assert keypad.expire(4_499.0) is None
    assert keypad.expire(4_500.0) == "12"
    assert keypad.expire(9_000.0) is None


def test_somebody_leaning_on_the_keypad_is_bounded() -> None:
    keypad = Keypad(2_000.0)
    found = [keypad.press("5", 0.0) for _ in range(MAX_DIGITS)]
    assert found[-1] == "5" * MAX_DIGITS
    assert keypad.pending == ""


def test_what_is_no_key_changes_nothing() -> None:
    keypad = Keypad(2_000.0)
    keypad.press("1", 0.0)
    assert [keypad.press(key, 1_900.0) for key in ("", "E", "a", "12", "w", "١")] == [None] * 6
    assert keypad.expire(2_000.0) == "1"


@given(st.text(st.sampled_from([*sorted(VALID), "x"])), st.none() | st.integers(1, 5))
def test_no_digit_is_lost_or_doubled(keys: str, expected: int | None) -> None:
    keypad = Keypad(2_000.0)
    keypad.expected = expected
    found = "".join(digits for key in keys if (digits := keypad.press(key, 0.0)) and digits != "#")
    assert found + keypad.pending == keys.replace("#", "").replace("x", "")
