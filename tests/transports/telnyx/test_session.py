"""Media sockets for real: a client plays Telnyx, a small core answers. Nothing here comes by Call Control."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import orjson
import pytest

from agent.audio.codec import make_decoder, make_encoder
from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import LineError
from tests.transports.fakes import FakeCall, eventually
from tests.transports.telnyx.fakes import CALL, Phone, Served, serving
from transports import session
from transports.telnyx.session import MediaSession

TOKEN_HEADER = "x-telnyx-streaming-auth-token"
FRAME = bytes(range(160))
WIDE = linear(16000)


@asynccontextmanager
async def on(served: Served, **start: Any) -> AsyncIterator[tuple[Phone, FakeCall]]:
    """A call that is on, from this machine."""
    calls = len(served.host.calls)
    async with served.phone() as phone:
        await phone.connected()
        await phone.start(**start)
        yield phone, await served.call(calls + 1)


async def heard(call: FakeCall, count: int) -> list[bytes]:
    await eventually(lambda: call.count("hear") >= count)
    return [event[1] for event in call.events if event[0] == "hear"]


async def next_media(phone: Phone) -> bytes:
    message = await phone.receive()
    assert message["event"] == "media"
    return base64.b64decode(message["media"]["payload"], validate=True)


# --- a call --------------------------------------------------------------------------------------------


async def test_a_call_from_this_machine_needs_neither_key_nor_ticket() -> None:
    async with serving() as served:
        async with on(served, parameters={"shop": "7", "ticket": ""}) as (_, call):
            info = call.line.info
            assert (info.transport, info.platform_call_id) == ("telnyx-media", CALL)
            assert (info.caller, info.called) == ("+15005550001", "+15005550006")
            assert info.parameters == {"shop": "7"}
            assert call.line.lead_ms == 200
        assert served.host.bad == {}


async def test_audio_keys_and_marks_reach_the_call_in_order() -> None:
    async with serving() as served, on(served) as (phone, call):
        await phone.audio(FRAME)
        await phone.audio(b"\xff", timestamp="40")
        await phone.mark("turn-4")
        await phone.key("#")
        await phone.stop()
        assert await phone.closed() == 1000
        assert call.events == [
            ("hear", FRAME, 20),
            ("hear", b"\xff", 40),
            ("marked", "turn-4"),
            ("dtmf", "#"),
            ("hung_up", "caller_hung_up"),
        ]
        assert not call.bad


async def test_frames_that_come_out_of_order_are_heard_in_order() -> None:
    async with serving() as served, on(served) as (phone, call):
        for chunk in (1, 3, 2, 5, 4, 6, 6):
            await phone.audio(bytes([chunk]) * 160, chunk=str(chunk), timestamp=str(20 * chunk))
        assert [payload[0] for payload in await heard(call, 6)] == [1, 2, 3, 4, 5, 6]
        assert [event[2] for event in call.events] == [20, 40, 60, 80, 100, 120]
        await eventually(lambda: call.bad == {"late_media": 1})


async def test_keys_that_come_out_of_order_are_sorted_by_their_time() -> None:
    async with serving() as served, on(served) as (phone, call):
        await phone.key("2", "2026-11-20T10:00:20.400000Z")
        await phone.key("1", "2026-11-20T10:00:20.200000Z")
        await eventually(lambda: call.keys == "12")


async def test_what_the_agent_says_reaches_telnyx_in_order() -> None:
    async with serving() as served, on(served) as (phone, call):
        assert set(await next_media(phone)) == {0xFF}, "silence at once: a call without audio may be dropped"
        call.line.send(FRAME)
        call.line.mark("turn-1")
        call.line.clear()
        payload = base64.b64encode(FRAME).decode()
        assert [await phone.receive() for _ in range(3)] == [
            {"event": "media", "media": {"payload": payload}},
            {"event": "mark", "mark": {"name": "turn-1"}},
            {"event": "clear"},
        ]


@pytest.mark.parametrize("outbound", [PCMU_8K, PCMA_8K, G722_16K, WIDE], ids=lambda audio: audio.encoding)
@pytest.mark.parametrize("inbound", [PCMU_8K, PCMA_8K, G722_16K, WIDE], ids=lambda audio: audio.encoding)
async def test_both_ways_have_their_own_codec(inbound: AudioFormat, outbound: AudioFormat) -> None:
    tone = (8000 * np.sin(np.arange(16_000) * 440 * 2 * np.pi / 16_000)).astype("<i2")
    async with (
        serving(PARLEY_TELNYX_CODEC=outbound.encoding.value) as served,
        on(served, encoding=inbound.encoding.value, rate_hz=8000 if inbound == G722_16K else inbound.rate_hz)
        as (phone, call),
    ):  # fmt: skip
        line = call.line
        assert (line.inbound, line.outbound) == (inbound, outbound)
        said = make_encoder(inbound).encode(tone[:: 16_000 // inbound.rate_hz].tobytes())
        size = inbound.frame_bytes
        for at in range(0, 5 * size, size):
            await phone.audio(said[at : at + size])
        assert b"".join(await heard(call, 5)) == said[: 5 * size]
        await next_media(phone)
        answer = make_encoder(outbound).encode(tone[:: 16_000 // outbound.rate_hz].tobytes())
        line.send(answer[: 5 * outbound.frame_bytes])
        sent = await next_media(phone)
        assert sent == answer[: 5 * outbound.frame_bytes]
        assert len(make_decoder(outbound).decode(sent)) == 2 * outbound.rate_hz // 10


@pytest.mark.parametrize(("setting", "wire"), [("little", "<i2"), ("big", ">i2"), ("detect", ">i2")])
async def test_the_byte_order_of_l16_is_set_or_found_out(setting: str, wire: str) -> None:
    tone = (3000 * np.sin(np.arange(320) * 300 * 2 * np.pi / 16_000)).astype("<i2")
    on_the_wire = tone.astype(wire).tobytes()
    async with (
        serving(PARLEY_TELNYX_CODEC="L16", PARLEY_TELNYX_L16_BYTE_ORDER=setting) as served,
        on(served, encoding="L16", rate_hz=16000) as (phone, call),
    ):
        await phone.audio(on_the_wire)
        assert await heard(call, 1) == [tone.tobytes()]
        await next_media(phone)
        call.line.send(tone.tobytes())
        assert await next_media(phone) == on_the_wire


async def test_two_calls_do_not_hear_each_other() -> None:
    async with serving() as served, on(served) as (phone, call):
        async with on(served, call_id="v3:other") as (other, second):
            await other.audio(b"\x01" * 160)
            await phone.audio(b"\x02" * 160)
            assert await heard(second, 1) == [b"\x01" * 160]
            assert await heard(call, 1) == [b"\x02" * 160]
            other.break_off()
            await eventually(lambda: second.count("lost"))
        await phone.audio(b"\x03" * 160)
        assert (await heard(call, 2))[1] == b"\x03" * 160
        assert not call.count("hung_up")


# --- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011])
async def test_a_close_without_stop(code: int) -> None:
    """A clean one is the end; after any other one TeXML may connect again."""
    async with serving() as served:
        async with on(served) as (phone, call):
            if code == 1006:
                phone.break_off()
            else:
                await phone.socket.close(code)
            await eventually(lambda: call.events)
        assert call.events == [("hung_up", "caller_hung_up") if code == 1000 else ("lost",)]
        call.line.send(FRAME)
        call.line.mark("x")
        call.line.clear()
        call.line.send_digits("1")
        call.line.close()


async def test_a_caller_who_hangs_up_before_start() -> None:
    async with serving() as served, served.phone() as phone:
        await phone.connected()
        await phone.socket.close()
        assert served.host.calls == []
    assert served.host.bad == {}


async def test_a_caller_who_hangs_up_while_being_spoken_to() -> None:
    async with serving() as served, on(served) as (phone, call):
        for _ in range(50):
            call.line.send(FRAME)
        await phone.stop()
        await phone.audio()
        await phone.stop()
        assert await phone.closed() == 1000
        assert call.events == [("hung_up", "caller_hung_up")]


async def test_without_an_api_key_closing_hangs_up() -> None:
    async with serving() as served, on(served) as (phone, call):
        await call.line.hang_up()
        await call.line.hang_up()
        assert await phone.closed() == 1000
        assert call.events == []


async def test_without_an_api_key_nothing_else_can_be_done_and_that_is_said() -> None:
    async with serving() as served, on(served) as (_, call):
        with pytest.raises(LineError, match="set TELNYX_API_KEY"):
            await call.line.transfer("+15005550009")
        call.line.send_digits("1")
        assert call.bad == {"unsupported_digits": 1}


async def test_a_call_that_does_not_end_in_time_does_not_hold_the_socket(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "TEARDOWN_DEADLINE_S", 0.05)

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    async with serving() as served, on(served) as (phone, call):
        monkeypatch.setattr(call, "hung_up", never)
        await phone.stop()
        assert await phone.closed() == 1000
    assert "did not end in time" in caplog.text


async def test_the_server_stops_during_a_call() -> None:
    async with serving() as served:
        phone = await served.phone().__aenter__()
        await phone.start()
        call = await served.call()
    assert call.events == [("lost",)]
    phone.break_off()


# --- a socket that is replaced -------------------------------------------------------------------------


async def test_a_broken_socket_comes_back_with_the_same_ticket() -> None:
    """As a TeXML stream with `enableReconnect` does."""
    async with serving(signing=True) as served:
        ticket = served.host.tickets.issue(CALL)
        async with served.phone() as phone:
            await phone.start(parameters={"ticket": ticket})
            call = await served.call()
            phone.break_off()
            await eventually(lambda: call.count("lost"))
        async with served.phone() as again:
            await again.start(parameters={"ticket": ticket}, stream_id="another")
            await eventually(lambda: call.count("reattached"))
            assert len(served.host.calls) == 1
            await again.send({"event": "stop", "stream_id": "another", "stop": {}})
            assert await again.closed() == 1000
        assert call.events == [("lost",), ("reattached",), ("hung_up", "caller_hung_up")]


async def test_the_newer_socket_takes_over_and_the_older_one_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.telnyx.door.SILENT_MS", -1.0)
    async with serving(signing=True) as served:
        ticket = served.host.tickets.issue(CALL)
        async with served.phone() as old, served.phone() as new:
            await old.start(parameters={"ticket": ticket})
            call = await served.call()
            await new.start(parameters={"ticket": ticket})
            await eventually(lambda: call.count("reattached"))
            assert await old.closed() == 1000
            await new.audio(FRAME)
            assert await heard(call, 1) == [FRAME]
        assert call.events[0] == ("reattached",)
        assert call.count("lost") + call.count("hung_up") == 1, "that of the newer one"


# --- who may speak -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["header", "connected", "parameter"])
async def test_a_ticket_lets_one_socket_in_once(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(signing=True) as served:
        ticket = served.host.tickets.issue(CALL)

        @asynccontextmanager
        async def attempt() -> AsyncIterator[Phone]:
            async with served.phone({TOKEN_HEADER: ticket} if way == "header" else None) as phone:
                await phone.connected(**({TOKEN_HEADER: ticket} if way == "connected" else {}))
                await phone.start(parameters={"ticket": ticket} if way == "parameter" else None)
                yield phone

        async with attempt() as phone:
            call = await served.call()
            await phone.audio(FRAME)
            async with attempt() as thief:
                assert await thief.closed() == 1008
            await phone.audio(FRAME)
            assert await heard(call, 2) == [FRAME, FRAME]
            assert served.host.bad == {("telnyx-media", "bad_ticket"): 1}
    assert caplog.text.count("refused the telnyx-media socket") == 1
    assert ticket not in caplog.text


@pytest.mark.parametrize("shown", ["", "ticket-9", "ticket-1\u00e9"])
async def test_no_ticket_no_call(shown: str) -> None:
    async with serving(signing=True) as served, served.phone() as phone:
        served.host.tickets.issue(CALL)
        await phone.start(parameters={"ticket": shown})
        assert await phone.closed() == 1008
        assert served.host.calls == []
        assert served.host.bad == {("telnyx-media", "bad_ticket" if shown else "no_ticket"): 1}
        assert served.host.tickets.issued == {"ticket-1": CALL}, "the guess does not use the true one up"


async def test_a_ticket_of_another_call_is_no_ticket() -> None:
    async with serving(signing=True) as served, served.phone() as phone:
        ticket = served.host.tickets.issue("v3:other")
        await phone.start(parameters={"ticket": ticket})
        assert await phone.closed() == 1008
        assert served.host.tickets.issued == {ticket: "v3:other"}


async def test_a_start_that_is_not_well_formed_does_not_use_the_ticket_up() -> None:
    async with serving(signing=True) as served:
        ticket = served.host.tickets.issue(CALL)
        async with served.phone({TOKEN_HEADER: ticket}) as phone:
            await phone.send({"event": "start", "start": {"from": "+1"}})
            await phone.start()
            assert (await served.call()).bad == {"missing_field": 1}


async def test_a_full_server_refuses_a_caller_without_a_ticket() -> None:
    async with serving() as served, served.phone() as phone:
        served.host.full = True
        await phone.start()
        assert await phone.closed() == 1013
        assert served.host.bad == {}, "no fault of the caller's"


# --- bad input -----------------------------------------------------------------------------------------


async def test_no_bad_message_ends_the_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with serving() as served, served.phone() as phone:
        await phone.audio()
        await phone.start()
        call = await served.call()
        for data in (
            "\x00",
            "[]",
            '{"event":"interlude"}',
            '{"event":"media"}',
            '{"event":"media","media":{"payload":""}}',
            '{"event":"media","media":{"payload":"not base64!"}}',
            '{"event":"media","stream_id":"other","media":{"payload":"////"}}',
            '{"event":"media","media":{"track":"outbound","payload":"////"}}',
            '{"event":"mark","mark":{}}',
            '{"event":"dtmf","dtmf":{"digit":"99"}}',
            '{"event":"error","payload":{"code":100004,"title":"invalid_media"}}',
            '{"event":"error","payload":{"code":100005,"title":"rate_limit_reached"}}',
        ):
            await phone.socket.send(data)
        await phone.start()
        await phone.start(encoding="OPUS")
        await phone.audio(bytes(1_000_000))
        await phone.socket.send(FRAME)
        for _ in range(200):
            await phone.socket.send("{}")
        await phone.audio(FRAME, chunk="99", timestamp="60")
        assert await heard(call, 1) == [FRAME]
        await eventually(lambda: call.bad["binary"])
        assert call.bad == {
            "before_start": 1,
            "malformed_json": 1,
            "not_an_object": 1,
            "unknown_event": 201,
            "missing_field": 2,
            "empty_payload": 1,
            "wrong_base64": 1,
            "wrong_stream": 1,
            "bad_digit": 1,
            "platform_invalid_media": 1,
            "platform_rate_limit": 1,
            "second_start": 2,
            "too_long": 1,
            "binary": 1,
        }
        assert len(served.host.calls) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert all(sum(f": {kind}: " in line for line in lines) == 1 for kind in call.bad)


async def test_half_a_sample_is_dropped_and_the_rest_is_heard() -> None:
    async with serving() as served, on(served, encoding="L16", rate_hz=16000) as (phone, call):
        await phone.audio(bytes(639))
        await phone.audio(bytes(640))
        assert await heard(call, 1) == [bytes(640)]
        assert call.bad == {"odd_length": 1}


async def test_a_message_that_breaks_the_core_does_not_break_the_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as served, on(served) as (phone, call):
        call.breaks_on_audio = True
        for _ in range(100):
            await phone.audio()
        await phone.mark("after")
        await eventually(lambda: call.events)
        assert call.events == [("marked", "after")]
        assert call.bad == {"internal_error": 100}
    assert caplog.text.count("RuntimeError: the core has a bug") == 1


@pytest.mark.parametrize(("encoding", "rate_hz"), [("OPUS", 16000), ("AMR-WB", 16000), ("L16", 22050)])
async def test_a_stream_in_a_format_that_cannot_be_heard_is_refused(
    encoding: str, rate_hz: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served, served.phone() as phone:
        await phone.start(encoding=encoding, rate_hz=rate_hz)
        assert await phone.closed() == 1003
        await eventually(lambda: served.host.bad)
        assert served.host.bad == {("telnyx-media", "media_format"): 1}
        assert served.host.calls == []
        assert (CALL, "cannot_answer") in served.host.over
    assert "use PCMU, PCMA, G722, or L16" in caplog.text


async def test_a_core_that_cannot_answer_gives_the_slot_back() -> None:
    async with serving() as served, served.phone() as phone:
        served.host.fails = True
        await phone.start()
        assert await phone.closed() == 1011
        assert [slot.releases for slot in served.host.slots] == [1]
        await eventually(lambda: served.host.bad == {("telnyx-media", "internal_error"): 1})


@pytest.mark.parametrize("sent", ["nothing", "connected", "media"])
async def test_a_socket_that_never_starts_is_closed(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_DEADLINE_S", 0.05)
    async with serving() as served, served.phone() as phone:
        if sent != "nothing":
            await phone.connected()
        if sent == "media":
            await phone.audio()
        assert await phone.closed() == 1008
        await eventually(lambda: ("telnyx-media", "no_start") in served.host.bad)
        assert served.host.calls == []


async def test_a_start_that_comes_with_the_deadline_begins_no_call() -> None:
    """Between the deadline and the end of the socket a message can still be parsed."""
    async with serving() as served:
        one = MediaSession(served.telnyx._parts)
        one._no_start()
        one.on_text(orjson.dumps({"event": "start", "start": {"call_control_id": CALL}}))
        assert served.host.calls == []
        assert one.listener is None


async def test_a_flood_before_start_is_cut_off() -> None:
    async with serving() as served, served.phone() as phone:
        for _ in range(session.MAX_BAD_BEFORE_START + 1):
            await phone.socket.send("{}")
        assert await phone.closed() == 1008
        await eventually(lambda: served.host.bad)
        assert served.host.bad == {("telnyx-media", "unknown_event"): session.MAX_BAD_BEFORE_START + 1}


async def test_after_start_silence_may_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_DEADLINE_S", 0.05)
    async with serving() as served, on(served) as (phone, call):
        await asyncio.sleep(0.15)
        await phone.audio(FRAME)
        assert await heard(call, 1) == [FRAME]


async def test_a_call_that_hears_nothing_at_first_gets_a_frame_of_silence_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.telnyx.line.IDLE_MS", 10.0)
    monkeypatch.setattr("transports.telnyx.line.MAX_IDLE_FRAMES", 4)
    async with serving() as served, on(served) as (phone, call):
        for _ in range(4):
            assert set(await next_media(phone)) == {0xFF}
        await asyncio.sleep(0.05)
        call.line.send(FRAME)
        assert await next_media(phone) == FRAME, "no fifth"


async def test_the_agents_first_audio_ends_the_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.telnyx.line.IDLE_MS", 20.0)
    async with serving() as served, on(served) as (phone, call):
        call.line.send(FRAME)
        await asyncio.sleep(0.06)
        call.line.mark("end")
        seen = [await phone.receive() for _ in range(3)]
        assert [message["event"] for message in seen] == ["media", "media", "mark"]


async def test_a_peer_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.websocket.STALL_MS", 50)
    async with serving() as served, on(served) as (phone, call):
        phone.socket.transport.pause_reading()

        async def talk() -> None:
            while not call.events:
                for _ in range(200):
                    call.line.send(bytes(1600))
                await asyncio.sleep(0.01)

        await asyncio.wait_for(talk(), 20)
        assert call.events == [("lost",)]
        assert call.bad["peer_not_reading"] > 1
        phone.break_off()


async def test_a_peer_that_does_not_answer_the_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLOSE_DEADLINE_S", 0.1)
    async with serving() as served, on(served) as (phone, call):
        cut_off = asyncio.Event()
        monkeypatch.setattr("transports.websocket.MediaWebSocket.abort", lambda _: cut_off.set())
        phone.socket.transport.pause_reading()
        call.line.close()
        await asyncio.wait_for(cut_off.wait(), 20)
        phone.break_off()
