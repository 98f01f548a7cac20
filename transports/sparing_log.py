"""Warnings about what strangers send: one line of a kind now and then, however often it comes."""

import logging

from agent.clock import Clock

EVERY_MS = 10_000
"""A flood of forged requests fills six lines a minute, not a disk."""


class SparingLog:
    """Logs the first of each kind, and after a while the next one with the number left out between."""

    def __init__(self, logger: logging.Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._logged_ms: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def warn(self, kind: str, message: str, *args: object) -> None:
        """`kind` is one of ours, never the peer's text: both tables are as long as there are kinds."""
        now_ms = self._clock.now_ms()
        if now_ms - self._logged_ms.get(kind, -EVERY_MS) < EVERY_MS:
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return
        self._logged_ms[kind] = now_ms
        more = self._unlogged.pop(kind, 0)
        suffix = f" ({more} more since the last such line)" if more else ""
        self._logger.warning("%s%s", message % args, suffix)
