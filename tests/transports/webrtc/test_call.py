"""Calls from a real WebRTC stack over real sockets."""

import asyncio

import numpy as np

from agent.events import AgentWords, StateChanged
from tests.transports.fakes import eventually
from tests.transports.webrtc.fakes import browser, serving
from transports.webrtc.receiver import HEARD_HZ


def tone(samples: int, rate_hz: int) -> bytes:
    time_s = np.arange(samples) / rate_hz
    return (8000 * np.sin(2 * np.pi * 400 * time_s)).astype("<i2").tobytes()


async def test_speech_reaches_the_call() -> None:
    async with serving() as served, browser(served):
        call = await served.call()
        await eventually(lambda: call.count("hear") > 30)
        frames = [event for event in call.events if event[0] == "hear"]
        pcm = np.frombuffer(b"".join(frame[1] for frame in frames[10:30]), "<i2").astype(float)
        spectrum = np.abs(np.fft.rfft(pcm))
        assert abs(np.argmax(spectrum) * HEARD_HZ / len(pcm) - 400) < 5
        times = [frame[2] for frame in frames]
        assert np.allclose(np.diff(times), 20)


async def test_the_agent_is_heard() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        audio = tone(24_000 * 2, 24_000)
        for start in range(0, len(audio), 960):
            call.line.send(audio[start : start + 960])
            await asyncio.sleep(0.02)
            if page.rms() > 4000:
                break
        assert page.rms() > 4000
        assert call.line.lead_ms == 0


async def test_events_and_hello_reach_the_page_in_order() -> None:
    async with (
        serving(VOICES="es-ES=amy") as served,
        browser(served, query="?language=es-ES&voice=amy") as page,
    ):
        call = await served.call()
        listener = served.host.listeners[0]
        assert listener is not None
        listener(StateChanged("speaking"))
        listener(AgentWords(1, "Hello.", "greeting"))
        await eventually(lambda: len(page.messages) >= 3)
        assert page.types[:3] == ["hello", "state", "agent"]
        assert page.messages[0]["language"] == "es-ES"
        assert page.messages[0]["call"] == call.line.info.platform_call_id
        assert call.line.info.parameters == {"voice": "amy"}


async def test_the_page_types_keys_and_hangs_up() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        page.send(type="text", text="what are your hours")
        page.send(type="dtmf", digit="5")
        page.send(type="language", language="es-ES")
        page.send(type="ping", id=7)
        page.send(type="client", metrics={"l1_capture_ms": 12.5, "nonsense": "x"})
        page.send(type="from_the_future")
        page.send(type="hangup")
        await eventually(call.ended.is_set)
        wished = [event for event in call.events if event[0] in ("typed", "dtmf", "language", "hung_up")]
        assert wished == [
            ("typed", "what are your hours"), ("dtmf", "5"), ("language", "es-ES"),
            ("hung_up", "caller_hung_up"),
        ]  # fmt: skip
        await eventually(lambda: "bye" in page.types)
        assert next(message for message in page.messages if message["type"] == "pong")["id"] == 7
        assert not call.bad
        await eventually(lambda: not served.whip.sessions)


async def test_delete_ends_the_call_once() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        assert await page.delete() == 200
        await eventually(call.ended.is_set)
        await eventually(lambda: not served.whip.sessions)
        assert await page.delete() == 404


async def test_the_agent_hangs_up() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        await call.line.hang_up()
        await eventually(lambda: "bye" in page.types)
        assert page.messages[-1] == {"v": 1, "type": "bye", "cause": "agent_hung_up"}
        await eventually(lambda: page.peer.connectionState == "closed")


async def test_a_closed_page_ends_the_call() -> None:
    async with serving() as served, browser(served) as page:
        call = await served.call()
        await page.open.wait()
        await page.close()
        await eventually(call.ended.is_set)
        assert ("hung_up", "closed_by_browser") in call.events


async def test_marks_come_back_when_audio_has_run_out_and_at_once_when_cleared() -> None:
    async with serving() as served, browser(served):
        call = await served.call()
        began_s = asyncio.get_running_loop().time()
        call.line.send(bytes(960 * 10))
        call.line.mark("one")
        await eventually(lambda: call.count("marked") == 1)
        assert asyncio.get_running_loop().time() - began_s >= 0.19
        call.line.send(bytes(960 * 1000))
        call.line.mark("two")
        call.line.clear()
        assert call.count("marked") == 1
        await eventually(lambda: ("marked", "two") in call.events)  # long before 20 s are over


async def test_two_browsers_do_not_disturb_each_other() -> None:
    async with serving() as served, browser(served) as first, browser(served):
        await eventually(lambda: len(served.host.calls) == 2)
        ended, other = served.host.calls
        if ended.line is not served.whip.sessions[first.location.rpartition("/")[2]].line:
            ended, other = other, ended
        await first.delete()
        await eventually(ended.ended.is_set)
        heard = other.count("hear")
        await eventually(lambda: other.count("hear") > heard + 5)
        assert not other.ended.is_set()


async def test_a_browser_without_opus_speaks_g711() -> None:
    def only_pcmu(sdp: str) -> str:
        lines = [
            line
            for line in sdp.splitlines()
            if not line.startswith(("a=rtpmap:96", "a=rtpmap:9 ", "a=fmtp:96"))
        ]
        return (
            "\r\n".join(
                "m=audio 9 UDP/TLS/RTP/SAVPF 0" if line.startswith("m=audio") else line for line in lines
            )
            + "\r\n"
        )

    async with serving() as served, browser(served, change=only_pcmu) as page:
        call = await served.call()
        assert call.line.inbound.encoding == "PCMU"
        await eventually(lambda: call.count("hear") > 5)
        for _ in range(30):
            call.line.send(b"\x10" * 80 + b"\x90" * 80)
            await asyncio.sleep(0.02)
        assert page.rms() > 1000
