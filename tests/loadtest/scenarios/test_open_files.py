import resource

import pytest

from agent.errors import ConfigError
from loadtest.scenarios.open_files import BASE_FILES, FILES_PER_CALL, make_room


class Limits:
    """The process's limits, which may be raised up to `allowed`."""

    def __init__(self, soft: int, hard: int, allowed: int) -> None:
        self.now = soft, hard
        self._allowed = allowed

    def get(self, _what: int) -> tuple[int, int]:
        return self.now

    def set(self, _what: int, limits: tuple[int, int]) -> None:
        if limits[1] > self._allowed:
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int | None = None) -> Limits:
    limits = Limits(soft, hard, hard if allowed is None else allowed)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    return limits


def test_the_soft_limit_is_raised_as_far_as_calls_need(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 1_024, 100_000)
    make_room(10_000, relay=True)
    assert limits.now == (10_000 + BASE_FILES, 100_000)


def test_media_calls_need_more_than_their_own_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 1_024, 100_000)
    make_room(800, relay=False)
    assert limits.now[0] == 800 * FILES_PER_CALL + BASE_FILES


@pytest.mark.parametrize("soft", [20_000, resource.RLIM_INFINITY])
def test_what_is_enough_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    limits = limited(monkeypatch, soft, soft, allowed=0)
    make_room(10_000, relay=True)
    assert limits.now == (soft, soft)


def test_the_hard_limit_is_raised_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 1_024, 4_096, allowed=1_000_000)
    make_room(10_000, relay=True)
    assert limits.now == (10_000 + BASE_FILES, 10_000 + BASE_FILES)


def test_a_limit_that_is_too_low_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 1_024, 4_096)
    with pytest.raises(ConfigError) as refused:
        make_room(10_000, relay=True)
    text = str(refused.value)
    assert "10000 calls need 10512 open files in a process, and at most 4096 are allowed" in text
    assert f"--max-calls {4_096 - BASE_FILES}" in text
