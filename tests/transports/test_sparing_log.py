"""A flood fills few lines, and none of it goes uncounted."""

import logging

import pytest

from tests.transports.telnyx.fakes import ManualClock
from transports.sparing_log import EVERY_MS, SparingLog

LOGGER = logging.getLogger(__name__)


def test_one_line_of_a_kind_now_and_then_with_the_number_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    notices = SparingLog(LOGGER, clock)
    for number in range(100):
        notices.warn("forged", "refused %d", number)
    assert caplog.messages == ["refused 0"]
    clock.move(EVERY_MS)
    notices.warn("forged", "refused %d", 100)
    assert caplog.messages[1:] == ["refused 100 (99 more since the last such line)"]
    clock.move(EVERY_MS)
    notices.warn("forged", "refused %d", 101)
    assert caplog.messages[2:] == ["refused 101"]


def test_kinds_do_not_silence_each_other(caplog: pytest.LogCaptureFixture) -> None:
    notices = SparingLog(LOGGER, ManualClock())
    notices.warn("forged", "forged")
    notices.warn("replayed", "replayed")
    assert caplog.messages == ["forged", "replayed"]


def test_what_a_peer_wrote_is_no_format(caplog: pytest.LogCaptureFixture) -> None:
    SparingLog(LOGGER, ManualClock()).warn("odd", "refused %s", "100%s of %d")
    assert caplog.messages == ["refused 100%s of %d"]
