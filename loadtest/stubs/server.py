"""The stub providers' process.

    python -m loadtest.stubs.server [--port 0] [--set NAME=VALUE ...]

Prints `listening on PORT` and serves until SIGTERM. Options are those of `StubScript`.
"""

import argparse
import asyncio
import signal
from collections.abc import Callable
from typing import cast

import orjson
import uvloop

from agent.clock import Clock, LoopClock, Timer
from agent.errors import ConfigError, WireError
from loadtest.stubs import frames
from loadtest.stubs.frames import Frame, FrameReader, encode
from loadtest.stubs.recogniser import StubRecogniser
from loadtest.stubs.script import StubScript

_GRAIN_MS = 0.1
"""A token that is late already still comes in a message of its own."""


class StubSession(asyncio.Protocol):
    """One connection: a recognition stream, or any number of replies and sentences."""

    def __init__(self, script: StubScript, tokens: tuple[bytes, ...], source: bytes, clock: Clock) -> None:
        self._script = script
        self._tokens = tokens
        self._source = source
        self._clock = clock
        self._reader = FrameReader()
        self._recogniser = StubRecogniser(script)
        self._timers: dict[int, Timer] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._frame(frame)
        except (WireError, ValueError):
            # Not one of our clients.
            if self._transport is not None:
                self._transport.abort()

    def _frame(self, frame: Frame) -> None:
        kind, stream, body = frame
        if kind == frames.AUDIO:
            partial = self._recogniser.feed(body)
            if partial is not None:
                self._write(encode(frames.PARTIAL, stream, partial.encode()))
        elif kind == frames.FINALIZE:
            final = encode(frames.FINAL, stream, self._recogniser.finalize().encode())
            self._later(stream, self._script.final_ms, lambda: self._write(final))
        elif kind == frames.CHAT:
            orjson.loads(body)
            begun_ms = self._clock.now_ms() + self._script.first_token_ms
            self._later(stream, self._script.first_token_ms, lambda: self._token(stream, 0, begun_ms))
        elif kind == frames.SPEAK:
            chunks = self._script.speech_chunks(body.decode(), self._source)
            answer = b"".join(encode(frames.SPEECH, stream, chunk) for chunk in chunks)
            answer += encode(frames.DONE, stream)
            self._later(stream, self._script.speech_ms, lambda: self._write(answer))
        elif kind == frames.CANCEL:
            timer = self._timers.pop(stream, None)
            if timer is not None:
                timer.cancel()

    def _token(self, stream: int, number: int, begun_ms: float) -> None:
        """Deadlines are absolute: what a timer is late by must not add up to the script's pace."""
        token_ms = self._script.token_ms
        step = 1 if token_ms else len(self._tokens)
        for token in self._tokens[number : number + step]:
            self._write(encode(frames.TOKEN, stream, token))
        following = number + step
        if following < len(self._tokens):
            due_ms = begun_ms + following * token_ms
            wait_ms = max(due_ms - self._clock.now_ms(), _GRAIN_MS)
            self._later(stream, wait_ms, lambda: self._token(stream, following, begun_ms))
        else:
            self._write(encode(frames.DONE, stream))

    def _later(self, stream: int, delay_ms: float, work: Callable[[], None]) -> None:
        """One pending step per stream, no timer for none."""
        if delay_ms <= 0:
            work()
            return

        def due() -> None:
            self._timers.pop(stream, None)
            work()

        self._timers[stream] = self._clock.call_later(delay_ms, due)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def listen(script: StubScript, port: int = 0) -> asyncio.Server:
    """Serve on 127.0.0.1. Raises `ConfigError` for an unreadable speech file, `OSError` for the port."""
    tokens = tuple(text.encode() for text in script.token_texts())
    source = script.speech_source()
    clock = LoopClock()
    return await asyncio.get_running_loop().create_server(
        lambda: StubSession(script, tokens, source, clock), "127.0.0.1", port, backlog=1024
    )


async def _serve(script: StubScript, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    server = await listen(script, port)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    options = dict(each.partition("=")[::2] for each in arguments.set)
    try:
        script = StubScript.from_options(options)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(script, arguments.port))
    except (ConfigError, OSError) as error:
        raise SystemExit(f"stubs: {error}") from None


if __name__ == "__main__":
    main()
