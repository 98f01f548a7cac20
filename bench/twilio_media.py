"""What Twilio's media messages cost: the codec alone, and the transport's whole share of a frame.

    python -m bench.twilio_media

Microseconds of one core per message, the best of several runs. "to the call" is from the bytes that the
WebSocket parser hands over to a call that does nothing; "to the socket" ends at the socket's send, which
does nothing either.
"""

import asyncio
import timeit
from base64 import b64encode
from collections.abc import Callable

import orjson

from agent.clock import LoopClock
from agent.events import CallListener
from agent.lines import MediaLine, Slot
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeCall, FakeHost
from tests.transports.twilio.fakes import agent_file
from transports.twilio import Twilio
from transports.twilio.media import MediaSession
from transports.twilio.media_codec import MediaDecoder, MediaEncoder
from transports.websocket import MediaWebSocket

SID = "MZ00000000000000000000000000000001"
FRAME = bytes(range(160))
NUMBER = 50_000


def media_message() -> bytes:
    """20 ms, as Twilio sends it."""
    return orjson.dumps(
        {
            "event": "media",
            "sequenceNumber": "12345",
            "media": {
                "track": "inbound",
                "chunk": "12344",
                "timestamp": "246880",
                "payload": b64encode(FRAME).decode(),
            },
            "streamSid": SID,
        }
    )


class DeafCall(FakeCall):
    """Hears everything, does nothing."""

    def hear(self, payload: bytes, timestamp_ms: float) -> None:
        pass

    def bad_message(self, kind: str) -> None:
        raise AssertionError(kind)


class BenchHost(FakeHost):
    """Keeps the line."""

    line: MediaLine

    def answer_media(self, line: MediaLine, slot: Slot, events: CallListener | None = None) -> DeafCall:
        self.line = line
        return DeafCall(line, slot)


def show(name: str, work: Callable[[], object]) -> None:
    """Time one call of `work`."""
    taken = min(timeit.repeat(work, number=NUMBER, repeat=7)) / NUMBER
    print(f"{name:<46} {1e6 * taken:6.2f} us")


async def main() -> None:
    """Print everything."""
    data = media_message()
    decoder, encoder = MediaDecoder(), MediaEncoder(SID)
    decoder.stream_sid = SID
    print(f"inbound message of {len(data)} bytes, outbound of {len(encoder.media(FRAME))}")
    show("in: decode", lambda: decoder.decode(data))
    show("out: encode 20 ms", lambda: encoder.media(FRAME))
    show("out: encode 100 ms", lambda: encoder.media(FRAME * 5))

    host = BenchHost()
    twilio = Twilio(TransportContext(host, Settings(), agent_file(), LoopClock(), Ticker(LoopClock())))
    session = MediaSession(twilio._parts)
    MediaWebSocket.send_text = lambda self, message: True  # type: ignore[method-assign]  # nobody listens
    start = {"streamSid": SID, "callSid": "CA1"}
    session.on_text(orjson.dumps({"event": "start", "start": start}))
    show("in: to the call", lambda: session.on_text(data))
    show("out: to the socket", lambda: host.line.send(FRAME))
    show("for comparison: orjson.loads alone", lambda: orjson.loads(data))
    show(
        "for comparison: orjson.dumps + b64encode out",
        lambda: orjson.dumps(
            {"event": "media", "streamSid": SID, "media": {"payload": b64encode(FRAME).decode()}}
        ),
    )


if __name__ == "__main__":
    asyncio.run(main())
