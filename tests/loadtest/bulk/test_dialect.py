"""Bulk messages are those of the careful callers: same fields, same types, same numbers."""

from typing import Any

import orjson
import pytest

from agent.clock import LoopClock
from loadtest.bulk.dialect import FIRST_SEQUENCE, TELNYX, TWILIO, Dialect
from loadtest.callers.identity import telnyx_identity, twilio_identity
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.twilio_media import TwilioMediaFarEnd
from tests.loadtest.bulk.wire import messages


def shape(message: Any) -> Any:
    """Everything but the ids, which are made up anew for each call."""
    if isinstance(message, dict):
        return {
            name: type(value) if isinstance(value, str) and len(value) > 20 else shape(value)
            for name, value in message.items()
        }
    return message


@pytest.fixture(params=["twilio", "telnyx"])
async def far_end(request: pytest.FixtureRequest) -> tuple[Dialect, TwilioMediaFarEnd | TelnyxMediaFarEnd]:
    if request.param == "twilio":
        return TWILIO, TwilioMediaFarEnd(twilio_identity(), {"ticket": "x"})
    return TELNYX, TelnyxMediaFarEnd(LoopClock(), telnyx_identity(), {"ticket": "x"})


async def test_a_call_reads_like_that_of_the_careful_caller(
    far_end: tuple[Dialect, TwilioMediaFarEnd | TelnyxMediaFarEnd],
) -> None:
    dialect, careful = far_end
    stream = dialect.open(LoopClock(), {"ticket": "x"})
    bulk = messages(b"".join(stream.opening))
    number = FIRST_SEQUENCE
    bulk += messages(stream.media(number, 1, 20, b"//8="))
    bulk += messages(stream.mark(number + 1, 'a "mark"'))
    bulk += messages(stream.stop(number + 2))
    wanted = [*careful.opening(), careful.media(b"\xff\xff"), careful.mark('a "mark"'), careful.stop()]
    assert [shape(each) for each in bulk] == [shape(orjson.loads(each)) for each in wanted]


async def test_each_call_has_ids_of_its_own_and_keeps_them() -> None:
    one, other = TWILIO.open(LoopClock(), {}), TWILIO.open(LoopClock(), {})
    assert one.call_id != other.call_id
    start = messages(one.opening[1])[0]
    assert start["start"]["callSid"] == one.call_id
    assert messages(one.media(2, 1, 20, b""))[0]["streamSid"] == start["streamSid"]
    assert messages(one.stop(3))[0]["stop"]["callSid"] == one.call_id
