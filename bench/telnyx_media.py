"""What Telnyx's media messages cost: the codec alone, and the transport's whole share of a frame.

    python -m bench.telnyx_media

Microseconds of one core per message, the best of several runs. "to the call" is from the bytes that the
WebSocket parser hands over to a call that does nothing; "to the socket" ends at the socket's send, which
does nothing either.
"""

import asyncio
import timeit
from base64 import b64encode
from collections.abc import Callable

import orjson

from agent.audio.formats import PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from agent.events import CallListener
from agent.lines import MediaLine, Slot
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeCall, FakeHost
from tests.transports.telnyx.fakes import AGENT, STREAM
from transports.telnyx import Telnyx
from transports.telnyx.session import MediaSession
from transports.websocket import MediaWebSocket

NUMBER = 30_000
RUNS = 5


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


def messages(audio: bytes) -> list[bytes]:
    """As many `media` messages as one run takes, numbered as Telnyx numbers them."""
    payload = b64encode(audio).decode()
    return [
        orjson.dumps(
            {
                "event": "media",
                "sequence_number": str(chunk + 3),
                "media": {
                    "track": "inbound",
                    "chunk": str(chunk),
                    "timestamp": str(chunk * 20),
                    "payload": payload,
                },
                "stream_id": STREAM,
            }
        )
        for chunk in range(1, NUMBER * RUNS + 1)
    ]


def show(name: str, work: Callable[[], object]) -> None:
    """Time one call of `work`."""
    taken = min(timeit.repeat(work, number=NUMBER, repeat=RUNS)) / NUMBER
    print(f"{name:<46} {1e6 * taken:6.2f} us")


async def measure(audio: AudioFormat) -> None:
    """Print both ways of one codec."""
    host = BenchHost()
    environ = {"PARLEY_TELNYX_CODEC": audio.encoding.value}
    telnyx = Telnyx(
        TransportContext(host, Settings(environ=environ), AGENT, LoopClock(), Ticker(LoopClock()))
    )
    session = MediaSession(telnyx._parts)
    MediaWebSocket.send_text = lambda self, message: True  # type: ignore[method-assign]  # nothing listens
    media_format = {"encoding": audio.encoding.value, "sample_rate": audio.rate_hz, "channels": 1}
    start = {"call_control_id": "v3:1", "media_format": media_format}
    session.on_text(orjson.dumps({"event": "start", "stream_id": STREAM, "start": start}))
    frame = bytes(range(160)) * (audio.frame_bytes // 160)
    incoming = iter(messages(frame))
    name = f"{audio.encoding.value} at {audio.rate_hz} Hz"
    show(f"{name}, in: to the call", lambda: session.on_text(next(incoming)))
    show(f"{name}, out: to the socket", lambda: host.line.send(frame))
    await telnyx.close()
    session._line.socket_gone()  # type: ignore[union-attr]  # it was started above


async def main() -> None:
    """Print everything."""
    for audio in (PCMU_8K, linear(16000)):
        await measure(audio)


if __name__ == "__main__":
    asyncio.run(main())
