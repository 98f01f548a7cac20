"""Environment variables of one transport: read, or refused with what is allowed."""

import pytest

from agent.errors import ConfigError
from agent.variables import Variables, one_of


def test_what_is_not_set_or_empty_is_none() -> None:
    values = Variables({"APP_B": "  "}, "APP_")
    assert values.read("A", int) is None
    assert values.read("B", int) is None


def test_a_value_is_read_without_the_space_around_it() -> None:
    assert Variables({"APP_A": " 7 "}, "APP_").read("A", int) == 7


def test_a_mistake_names_the_variable_and_what_is_allowed() -> None:
    values = Variables({"APP_MODE": "fax"}, "APP_")
    with pytest.raises(ConfigError, match=r"APP_MODE: 'fax' is not one of relay, media"):
        values.read("MODE", one_of("relay", "media"))


def test_a_word_is_read_in_any_case() -> None:
    assert one_of("relay", "Media")("MEDIA") == "Media"


def test_a_name_that_nobody_reads_is_a_mistake() -> None:
    values = Variables({"APP_A": "1", "APP_TYPO": "1", "OTHER": "1"}, "APP_")
    values.read("A", int)
    values.read("B", int)
    with pytest.raises(ConfigError, match=r"no such setting: APP_TYPO; there are APP_A, APP_B"):
        values.check_names()
