"""Calls over Telnyx for real: signed webhooks, every codec both ways, Call Control by Telnyx's own SDK."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.clock import LoopClock
from agent.plugins import STT, load
from agent.providers import ListenRequest, Transcript, TranscriptListener
from loadtest.callers.caller import Caller
from loadtest.callers.codec import codec_for
from loadtest.callers.identity import telnyx_identity
from loadtest.callers.local_server import LocalServer
from loadtest.callers.media_phone import MediaPhone
from loadtest.callers.session import make_call
from loadtest.callers.telnyx_media import TelnyxMediaFarEnd
from loadtest.callers.utterance import Say, Utterance, utterance
from loadtest.callers.webhook import Exchange, Secrets, Via
from loadtest.callers.wire import open_wire
from loadtest.simulators.telnyx_rest import ENDED, RINGING, TelnyxRestSimulator
from loadtest.speech import embedded_voice
from tests.e2e.hearing import likeness
from tests.e2e.inside import Inside, inside
from tests.e2e.test_hearing import speech as espeak
from tests.transports.fakes import eventually
from tests.transports.telnyx.fakes import API_KEY, KEY, PUBLIC_KEY, signed, webhook

pytestmark = pytest.mark.e2e

QUESTION = "What are your opening hours?"
ANSWER = "We are open from Monday to Friday."
AGENT = f"""
name: Test desk
languages: [en-US]
voices: {{en-US: {{name: en-us}}}}
greeting: Hello.
instructions: You are the reception of a small clinic.
unknown: I do not know that.
knowledge:
  - id: hours
    ask: [what are your opening hours]
    answer: {ANSWER}
tools:
  - {{kind: end_call, ask: [goodbye]}}
turns: {{reprompt_ms: 60000}}
providers:
  stt: [{{provider: stub, inprocess: true, heard: "what are your opening hours"}}]
  llm: [{{provider: embedded}}]
  tts: [{{provider: embedded}}]
"""
SAME_SOUND = 0.85
"""As in the other calls: the wrong law gives 0.68, other words 0.2."""


def agent_that_says(sound: Path) -> str:
    """The same agent with one sound for every sentence: espeak-ng never says one twice in the same way."""
    sound.write_bytes(codec_for(PCMU_8K).encode(espeak(ANSWER)))
    stub = f'stub, inprocess: true, chars_per_s: 20, speech: "{sound}"'
    return AGENT.replace("tts: [{provider: embedded}]", f"tts: [{{provider: {stub}}}]")


class Recorder:
    """Recognition that keeps what it was fed, and always understands the question."""

    name = "recorder"
    finalizes_pauses = False

    def __init__(self) -> None:
        self.heard = bytearray()

    async def warm(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    def input_format(self, line: AudioFormat) -> AudioFormat:
        return linear(8000)

    async def open(self, request: ListenRequest, listener: TranscriptListener) -> "RecorderStream":
        assert request.audio == linear(8000)
        return RecorderStream(self.heard, listener)


class RecorderStream:
    def __init__(self, heard: bytearray, listener: TranscriptListener) -> None:
        self._heard = heard
        self._listener = listener

    def feed(self, audio: bytes) -> None:
        self._heard += audio

    def finalize(self) -> None:
        transcript = Transcript(QUESTION, final=True, flushed=True)
        asyncio.get_running_loop().call_soon(self._listener.transcript, transcript)

    async def close(self) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Takes the place of the agent's recognition."""
    recorder = Recorder()

    def plugin(group: str, name: str) -> Any:
        return (lambda _: recorder) if group == STT else load(group, name)

    monkeypatch.setattr("agent.server.load", plugin)
    return recorder


async def speech(text: str) -> bytes:
    """The caller's, PCM16 at 8 kHz."""
    caller = embedded_voice(LoopClock(), os.environ)
    try:
        return await caller.say(text)
    finally:
        await caller.close()


async def question() -> Utterance:
    return utterance(QUESTION, await speech(QUESTION))


async def check_sound(recorder: Recorder, phone: MediaPhone) -> None:
    """Either side heard what the other one said."""
    assert likeness(bytes(recorder.heard), await speech(QUESTION)) > SAME_SOUND
    assert likeness(bytes(phone.heard), espeak(ANSWER)) > SAME_SOUND


# --- TeXML ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [
        {"PARLEY_TELNYX_CODEC": "PCMU"},
        {"PARLEY_TELNYX_CODEC": "PCMA"},
        {"PARLEY_TELNYX_CODEC": "G722"},
        # In TeXML the caller's leg keeps its own codec then, mu-law here.
        {"PARLEY_TELNYX_CODEC": "L16", "PARLEY_TELNYX_SAMPLE_RATE": "8000"},
        {"PARLEY_TELNYX_CODEC": "L16", "PARLEY_TELNYX_SAMPLE_RATE": "16000"},
    ],
    ids=["PCMU", "PCMA", "G722", "L16 at 8 kHz", "L16 at 16 kHz"],
)
async def test_a_question_is_heard_and_answered_in_every_codec(
    environ: dict[str, str], tmp_path: Path, recorder: Recorder
) -> None:
    environ = {"TELNYX_PUBLIC_KEY": PUBLIC_KEY, **environ}
    async with inside(tmp_path, environ, agent=agent_that_says(tmp_path / "sound")) as served:
        exchange = Exchange(Via.TELNYX, served.url, LoopClock(), Secrets(telnyx_key=KEY))
        try:
            session = await make_call(exchange, [Say(await question())], LoopClock())
        finally:
            await exchange.close()
        assert session.result.problems == []
        assert session.result.unanswered == []
        assert isinstance(session.phone, MediaPhone)
        await check_sound(recorder, session.phone)
        record = await served.ended(session.result.call_id)
        assert record["cause"] == "caller_hung_up"
        await served.quiet()


# --- Call Control --------------------------------------------------------------------------------------


class CallControl:
    """Telnyx's side of one call that comes by webhooks and commands."""

    def __init__(self, served: Inside, api: TelnyxRestSimulator) -> None:
        self.served = served
        self.api = api
        self.identity = telnyx_identity()

    async def tell(self, event: str, event_id: str = "", **payload: Any) -> int:
        """A signed webhook; its HTTP status."""
        body = webhook(event, self.identity.call_id, event_id or event, **payload)
        headers = {"Content-Type": "application/json", **signed(body, LoopClock())}
        url = self.served.url + "/telnyx/voice"
        async with self.served.client.post(url, data=body, headers=headers) as answer:
            return answer.status

    async def command(self, name: str, number: int = 1) -> dict[str, Any]:
        """The fields of the latest of so many commands of this name, once they came."""
        await eventually(lambda: len(self.api.named(name)) >= number)
        return self.api.named(name)[number - 1].fields

    async def ring(self) -> None:
        """The call comes in, is answered, and its stream is asked for."""
        self.api.calls[self.identity.call_id] = RINGING
        assert await self.tell("call.initiated", direction="incoming", state="parked") == 200
        await self.command("answer")
        assert await self.tell("call.answered") == 200
        await self.command("streaming_start")

    async def pick_up(self, inbound: AudioFormat, outbound: AudioFormat, number: int = 1) -> MediaPhone:
        """The stream as it was asked for, from a caller whose leg speaks `inbound`."""
        order = await self.command("streaming_start", number)
        assert order["stream_bidirectional_codec"] == outbound.encoding.value
        token = order["stream_auth_token"]
        parameters = {item["name"]: item["value"] for item in order["custom_parameters"]}
        end = TelnyxMediaFarEnd(
            LoopClock(), self.identity, parameters, to_server=inbound, from_server=outbound
        )
        headers = {"x-telnyx-streaming-auth-token": token}
        wire = await open_wire(self.served.ws + "/telnyx/media", headers)
        return MediaPhone(wire, LoopClock(), end)


@asynccontextmanager
async def call_control(tmp_path: Path, **environ: str) -> AsyncIterator[CallControl]:
    async with TelnyxRestSimulator(API_KEY, LoopClock()) as api:
        environ = {
            "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
            "TELNYX_API_KEY": API_KEY,
            "PARLEY_TELNYX_API_URL": api.url,
            **environ,
        }
        agent = agent_that_says(tmp_path / "sound")
        async with inside(tmp_path, environ, agent=agent, public_url="https://voice.example.test") as served:
            yield CallControl(served, api)


@pytest.mark.parametrize(
    ("inbound", "outbound"),
    [(PCMA_8K, PCMU_8K), (PCMU_8K, G722_16K), (G722_16K, PCMA_8K), (linear(16000), PCMU_8K)],
    ids=["PCMA in, PCMU out", "PCMU in, G722 out", "G722 in, PCMA out", "L16 in, PCMU out"],
)
async def test_either_way_has_its_own_codec(
    inbound: AudioFormat, outbound: AudioFormat, tmp_path: Path, recorder: Recorder
) -> None:
    async with call_control(tmp_path, PARLEY_TELNYX_CODEC=outbound.encoding.value) as telnyx:
        await telnyx.ring()
        phone = await telnyx.pick_up(inbound, outbound)
        result = await Caller(phone, via="telnyx").run([Say(await question())])
        await telnyx.tell("streaming.stopped")
        await telnyx.tell("call.hangup", hangup_cause="normal_clearing", hangup_source="caller")
        assert result.problems == []
        assert result.unanswered == []
        await check_sound(recorder, phone)
        await telnyx.served.ended(telnyx.identity.call_id)
        await telnyx.served.quiet()
        assert [command.name for command in telnyx.api.commands] == ["answer", "streaming_start"]


async def test_the_agent_ends_the_call_over_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    monkeypatch.setattr(f"{__name__}.QUESTION", "goodbye")
    async with call_control(tmp_path) as telnyx:
        await telnyx.ring()
        phone = await telnyx.pick_up(PCMU_8K, PCMU_8K)
        result = await Caller(phone, via="telnyx").run([Say(utterance("goodbye", await speech("Goodbye.")))])
        assert result.ended_by == "agent"
        await telnyx.command("hangup")
        assert telnyx.api.calls[telnyx.identity.call_id] == ENDED
        assert await telnyx.tell("call.hangup", hangup_source="callee") == 200
        assert (await telnyx.served.ended(telnyx.identity.call_id))["cause"] == "agent_hung_up"
        await telnyx.served.quiet()


async def test_a_stream_that_breaks_is_asked_for_again_and_the_conversation_goes_on(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.telnyx.call_control.GRACE_MS", 50.0)
    async with call_control(tmp_path) as telnyx:
        await telnyx.ring()
        phone = await telnyx.pick_up(PCMU_8K, PCMU_8K)
        await phone.start()
        record = await telnyx.served.live(telnyx.identity.call_id)
        await phone.hang_up(abrupt=True)
        again = await telnyx.pick_up(PCMU_8K, PCMU_8K, 2)
        result = await Caller(again, via="telnyx").run([Say(await question())])
        assert result.unanswered == []
        await telnyx.tell("call.hangup")
        ended = await telnyx.served.ended(telnyx.identity.call_id)
        assert ended["call_id"] == record["call_id"]
        await telnyx.served.quiet()


# --- strangers -----------------------------------------------------------------------------------------


async def test_only_telnyx_can_ring_and_only_once(tmp_path: Path, recorder: Recorder) -> None:
    async with call_control(tmp_path) as telnyx:
        served = telnyx.served
        body = webhook("call.initiated", telnyx.identity.call_id, direction="incoming")
        forged = {**signed(body, LoopClock()), "telnyx-timestamp": "1760000000"}
        for headers in ({}, forged, signed(body, LoopClock(), age_s=301)):
            async with served.client.post(served.url + "/telnyx/voice", data=body, headers=headers) as answer:
                assert answer.status == 403
        for kind in ("no_signature", "bad_signature", "expired"):
            assert await served.refused("telnyx", kind) == 1
        assert served.taken == 0

        await telnyx.ring()
        assert await telnyx.tell("call.initiated", direction="incoming", state="parked") == 200
        assert await served.refused("telnyx", "repeated_event") == 1
        phone = await telnyx.pick_up(PCMU_8K, PCMU_8K)
        await phone.start()
        await served.live(telnyx.identity.call_id)
        thief = await telnyx.pick_up(PCMU_8K, PCMU_8K)
        await thief.start()
        await eventually(lambda: thief.ended)
        assert await served.refused("telnyx-media", "bad_ticket") == 1
        assert (await served.call(telnyx.identity.call_id))["state"] != "ended"
        assert phone.ended is None
        for each in (phone, thief):
            await each.hang_up(abrupt=True)
        await telnyx.tell("call.hangup")
        await served.quiet()


# --- the command ---------------------------------------------------------------------------------------


async def test_the_command_calls_by_telnyx_signed_and_tells_what_it_heard(tmp_path: Path) -> None:
    file, out = tmp_path / "agent.yaml", tmp_path / "call.json"
    file.write_text(AGENT)
    seed = base64.b64encode(bytes(range(32))).decode()
    async with LocalServer(
        LoopClock(), os.environ, PARLEY_AGENT_FILE=str(file), TELNYX_PUBLIC_KEY=PUBLIC_KEY
    ) as server:
        calling = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", "import sys; from agent.cli import main; sys.exit(main())"),
            *("call", "--via", "telnyx", "--url", server.url, "--side-url", server.side_url),
            *("--telnyx-key", seed, "--json", str(out), QUESTION),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            printed, _ = await calling.communicate()
    assert calling.returncode == 0, printed.decode()
    assert ANSWER in " ".join(printed.decode().split())
    told = json.loads(out.read_text())
    assert told["call"]["via"] == "telnyx"
    assert told["call"]["turns"][0]["answered"]
