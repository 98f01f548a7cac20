"""A media call's clockwork: pacing, marks on the wire, clear, hang-up."""

import asyncio
import base64
from typing import Any

from agent.clock import LoopClock
from loadtest.callers.play import FRAME_BYTES
from tests.loadtest.fakes import media_phone, sentence, tone
from tests.virtual import virtual_clock, virtually


@virtually
async def test_a_frame_leaves_every_20_ms_from_the_first_moment_to_the_last() -> None:
    phone, wire = media_phone(virtual_clock())
    await phone.start()
    await phone.until(lambda _: False, 1000)
    await phone.hang_up()
    media = [message for message in wire.sent if message["event"] == "media"]
    assert len(media) == 50
    assert media[-1]["media"]["timestamp"] == "1000"
    assert all(len(base64.b64decode(each["media"]["payload"])) == 160 for each in media)
    assert wire.sent[0]["event"] == "connected"
    assert wire.sent[1]["event"] == "start"
    assert wire.sent[-1]["event"] == "stop"
    assert wire.closed_with == (1000, "")
    assert phone.max_late_ms < 0.001


class OversleepingClock(LoopClock):
    """Sleeps 70 ms too long, once."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, loop.time)
        self.sleeps = 0

    async def sleep(self, delay_ms: float) -> None:
        self.sleeps += 1
        await super().sleep(delay_ms + (70 if self.sleeps == 10 else 0))


@virtually
async def test_a_late_tick_is_made_up_for_and_its_lateness_is_kept() -> None:
    phone, wire = media_phone(OversleepingClock())
    await phone.start()
    await phone.until(lambda _: False, 1000)
    await phone.hang_up()
    assert len([each for each in wire.sent if each["event"] == "media"]) == 50
    assert 69 < phone.max_late_ms < 71


@virtually
async def test_what_is_said_leaves_as_it_is_and_the_line_is_never_digitally_silent() -> None:
    phone, _ = media_phone(virtual_clock())
    await phone.start()
    await phone.until(lambda _: False, 200)
    said = sentence(duration_ms=300)
    spoken = phone.say(said)
    await phone.until(lambda _: spoken.last_ms is not None, 1000)
    await phone.until(lambda _: False, 100)
    await phone.hang_up()
    assert spoken.first_ms is not None
    assert spoken.last_ms is not None
    # 200 ms are over with the look after the tenth tick; speech begins with the next one.
    assert round(spoken.first_ms - phone.started_ms) == 220
    assert round(spoken.last_ms - spoken.first_ms) == 280
    assert bytes(phone.sent[10 * FRAME_BYTES : 25 * FRAME_BYTES]) == b"".join(said.frames)
    assert any(phone.sent[: 10 * FRAME_BYTES])


@virtually
async def test_marks_come_back_when_played_and_at_once_on_clear() -> None:
    clock = virtual_clock()
    phone, wire = media_phone(clock)
    echoes: list[tuple[str, float]] = []

    def note(message: dict[str, Any]) -> None:
        if message["event"] == "mark":
            echoes.append((message["mark"]["name"], round(clock.now_ms() - phone.started_ms)))

    wire.on_message = note
    await phone.start()
    sid = wire.sent[1]["streamSid"]

    def audio(duration_ms: float) -> None:
        payload = base64.b64encode(b"\x80" * int(duration_ms * 8)).decode()
        wire.push({"event": "media", "streamSid": sid, "media": {"payload": payload}})

    def mark(name: str) -> None:
        wire.push({"event": "mark", "streamSid": sid, "mark": {"name": name}})

    mark("empty")
    audio(200)
    mark("played")
    audio(1000)
    mark("cleared")
    clock.call_later(509, lambda: wire.push({"event": "clear", "streamSid": sid}))
    await phone.until(lambda _: False, 1000)
    await phone.hang_up()
    # 200 ms play from the tick at 20 ms to 220 ms.
    assert echoes == [("empty", 0), ("played", 220), ("cleared", 509)]
    assert phone.clears == 1
    # Heard: 20 ms to 520 ms (the frame that was in the air at 509 ms goes to its end), then silence.
    assert round(phone.ear.stretches[0].end_ms - phone.started_ms) == 520
    assert not any(phone.heard[26 * FRAME_BYTES :])


@virtually
async def test_a_server_that_breaks_the_protocol_is_noted_and_the_call_goes_on() -> None:
    phone, wire = media_phone(virtual_clock())
    await phone.start()
    wire.push("nonsense")
    wire.push({"event": "clear", "streamSid": "another"})
    await phone.until(lambda _: False, 100)
    assert phone.ended is None
    assert len(phone.problems) == 2
    await phone.hang_up()


@virtually
async def test_when_the_server_closes_the_waiting_ends_and_it_is_known_who_hung_up() -> None:
    clock = virtual_clock()
    phone, wire = media_phone(clock)
    await phone.start()
    clock.call_later(300, lambda: wire.server_closes(1008, "bad ticket"))
    assert await phone.until(lambda _: False, 60_000) is False
    assert phone.ended is not None
    assert (phone.ended.by, phone.ended.code, phone.ended.detail) == (
        "agent",
        1008,
        "closed with 1008 bad ticket",
    )
    assert await phone.until(lambda _: False, 60_000) is False
    await phone.hang_up()
    assert [each for each in wire.sent if each["event"] == "stop"] == []


@virtually
async def test_keys_leave_200_ms_apart() -> None:
    clock = virtual_clock()
    phone, wire = media_phone(clock)
    times: list[float] = []
    wire.on_message = lambda message: times.append(clock.now_ms()) if message["event"] == "dtmf" else None
    await phone.start()
    for digit in "12#":
        phone.press(digit)
    assert phone.keys_waiting == 3
    await phone.until(lambda _: phone.keys_waiting == 0, 1000)
    await phone.hang_up()
    assert [round(each - phone.started_ms) for each in times] == [20, 220, 420]


@virtually
async def test_tone_is_heard_as_sent() -> None:
    phone, wire = media_phone(virtual_clock())
    await phone.start()
    payload = base64.b64encode(phone._encoder.encode(tone(400))).decode()
    wire.push({"event": "media", "streamSid": wire.sent[1]["streamSid"], "media": {"payload": payload}})
    await phone.until(lambda _: False, 600)
    await phone.hang_up()
    assert bytes(phone.heard[: 20 * FRAME_BYTES]) == phone._decoder.decode(phone._encoder.encode(tone(400)))
    assert len(phone.heard) == len(phone.sent) == len(phone.heard_at_ms) * FRAME_BYTES
