"""What callers, platforms and strangers get wrong, against the real server: no call but theirs suffers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import orjson
import pytest

from tests.e2e.inside import AGENT, Inside, inside
from tests.e2e.peers import Peer, Platform, call, peer, question

pytestmark = pytest.mark.e2e
ALL = list(Platform)
MEDIA = [Platform.TWILIO, Platform.TELNYX]
MEGABYTE = "x" * 1_000_000
ANYWHERE = ("\x00{", "[]", '{"event":"interlude","type":"interlude"}', "{}", MEGABYTE, b"\x01" * 320)
"""Wrong on every line: no JSON, no object, unknown events, too long, binary."""
BAD_MEDIA = (
    '{"event":"media"}',
    '{"event":"media","media":{"payload":""}}',
    '{"event":"media","media":{"payload":"no base64!"}}',
    '{"event":"media","media":{"payload":"AAA"}}',
    '{"event":"mark","mark":{}}',
    '{"event":"dtmf","dtmf":{"digit":"77"}}',
)
BAD_RELAY = (
    '{"type":"prompt"}',
    '{"type":"prompt","voicePrompt":7,"last":true}',
    '{"type":"dtmf","digit":"77"}',
    '{"type":"interrupt","durationUntilInterruptMs":"soon"}',
)


def nonsense(platform: Platform) -> tuple[str | bytes, ...]:
    return ANYWHERE + (BAD_RELAY if platform is Platform.RELAY else BAD_MEDIA)


@asynccontextmanager
async def beside_a_call(served: Inside, platform: Platform) -> AsyncIterator[Peer]:
    """Another call of the same kind is on, and is as it was afterwards."""
    async with call(served, platform) as other:
        yield other
        record = await served.call(other.call_id)
        assert record["state"] != "ended"
        assert record["bad_messages"] == {}
        await other.hang_up()
        assert (await served.ended(other.call_id))["cause"] == "caller_hung_up"


@contextmanager
def one_line_per_kind(caplog: pytest.LogCaptureFixture, kinds: set[str]) -> Iterator[None]:
    """The log tells of each kind once, on one line."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        yield
    lines = [record.getMessage() for record in caplog.records]
    assert kinds
    for kind in kinds:
        told = [line for line in lines if f": {kind}: " in line]
        assert len(told) == 1, (kind, lines)
        assert len(told[0]) < 400
        assert "\n" not in told[0]


# --- messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ALL)
async def test_nonsense_in_a_call_is_counted_and_the_call_goes_on(
    platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with inside(tmp_path) as served, beside_a_call(served, platform), call(served, platform) as one:
        kinds = {"malformed_json", "not_an_object", "too_long", "binary", "second_start"}
        with one_line_per_kind(caplog, kinds):
            for _ in range(20):
                await one.send(*nonsense(platform))
            await one.open()
            record = await served.when(one.call_id, lambda told: "second_start" in told["bad_messages"])
        assert record["state"] != "ended"
        assert record["bad_messages"]["malformed_json"] >= 20
        assert sum(record["bad_messages"].values()) >= 20 * (len(nonsense(platform)) - 1)
        await one.hang_up()
        assert (await served.ended(one.call_id))["cause"] == "caller_hung_up"


@pytest.mark.parametrize("platform", ALL)
async def test_nonsense_instead_of_a_start_is_shown_out(platform: Platform, tmp_path: Path) -> None:
    async with inside(tmp_path) as served, beside_a_call(served, platform), peer(served, platform) as one:
        for _ in range(20):
            await one.send(*nonsense(platform))
        assert await one.closed() == 1008
        await served.refused(platform.value, "malformed_json")
        await served.quiet(1)


@pytest.mark.parametrize("platform", MEDIA)
async def test_audio_before_the_start_is_dropped_and_the_call_begins(
    platform: Platform, tmp_path: Path
) -> None:
    async with inside(tmp_path) as served, peer(served, platform) as one:
        assert platform is not Platform.RELAY
        await one.speak(b"\xff" * 800)
        await one.open()
        record = await served.live(one.call_id)
        assert record["bad_messages"] == {"before_start": 5}
        await one.hang_up()
        await served.ended(one.call_id)


@pytest.mark.parametrize("platform", ALL)
async def test_no_start_at_all(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transports.session.START_DEADLINE_S", 0.1)
    async with inside(tmp_path) as served, beside_a_call(served, platform):
        with one_line_per_kind(caplog, {"no_start"}):
            async with peer(served, platform) as one, peer(served, platform) as another:
                assert await one.closed() == 1008
                assert await another.closed() == 1008
        assert await served.refused(platform.value, "no_start") == 2


@pytest.mark.parametrize("platform", MEDIA)
async def test_a_codec_that_nobody_speaks(
    platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with inside(tmp_path) as served, beside_a_call(served, platform), peer(served, platform) as one:
        end = one.end
        start = orjson.loads(end.opening()[1])  # type: ignore[union-attr]  # a media line's
        key = "mediaFormat" if platform is Platform.TWILIO else "media_format"
        start["start"][key]["encoding"] = "OPUS"
        with one_line_per_kind(caplog, {"media_format"}):
            await one.send(orjson.dumps(start).decode())
            assert await one.closed() == 1003
        await served.refused(platform.value, "media_format")


@pytest.mark.parametrize("platform", ALL)
async def test_a_message_without_end_ends_only_its_own_socket(platform: Platform, tmp_path: Path) -> None:
    async with (
        inside(tmp_path) as served,
        beside_a_call(served, platform),
        call(served, platform) as one,
    ):
        await one.send("x" * 5_000_000)
        assert await one.closed() == 1009
        await served.when(one.call_id, lambda told: "websocket" in told["bad_messages"])


@pytest.mark.parametrize("platform", MEDIA)
async def test_a_peer_that_stops_reading_is_cut_off(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The agent's own audio would take half a minute to fill the real bound.
    monkeypatch.setattr("transports.websocket.MAX_UNSENT_BYTES", -1)
    monkeypatch.setattr("transports.websocket.STALL_MS", 100)
    monkeypatch.setattr("agent.call.LOST_MS", 100.0)
    agent = AGENT.replace("greeting: Hello.", f"greeting: {'Hello and welcome. ' * 10}")
    async with inside(tmp_path, agent=agent) as served, call(served, platform) as one:
        one.socket.transport.pause_reading()
        record = await served.ended(one.call_id)
        assert record["cause"] == "line_lost"
        dropped = record["counters"]["sends_dropped"]
        assert dropped > 0
        assert record["bad_messages"] == {"peer_not_reading": dropped}
        assert record["counters"]["bad_messages"] == 0
        await served.quiet()


# --- callers -------------------------------------------------------------------------------------------

STATES = ("greeting", "idle", "hearing", "replying", "speaking")
SLOW = AGENT.replace("tokens: 4", "first_token_ms: 400, tokens: 4").replace(
    "From eight to six.", "From eight to six. " * 6
)


async def reach(one: Peer, state: str, served: Inside) -> asyncio.Task[None] | None:
    """Bring a call into this state of its turns. What still sends is returned."""
    if state == "greeting":
        return None
    sending: asyncio.Task[None] | None = None
    if one.platform is Platform.RELAY:
        while (await served.call(one.call_id))["state"] != "idle":
            await one.hear_out()
            await asyncio.sleep(0.01)
        if state in ("replying", "speaking"):
            prompt = {"type": "prompt", "voicePrompt": "When are you open?", "lang": "en-US", "last": True}
            await one.send(orjson.dumps(prompt).decode())
        elif state == "hearing":
            await one.send(orjson.dumps({"type": "prompt", "voicePrompt": "When", "last": False}).decode())
    else:
        audio = await question()
        while (await served.call(one.call_id))["state"] in ("greeting", "speaking"):
            await one.speak(b"\xff" * 160)
            await one.hear_out()
        if state != "idle":
            sending = asyncio.create_task(one.speak(audio + b"\xff" * 16000))
    if state != "idle":
        await served.when(one.call_id, lambda told: told["state"] == state)
    return sending


@pytest.mark.parametrize("how", ["hangs up", "vanishes"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("platform", ALL)
async def test_a_caller_who_goes_in_any_state(
    platform: Platform, state: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.call.LOST_MS", 50.0)
    async with inside(tmp_path, agent=SLOW) as served, beside_a_call(served, platform):
        async with call(served, platform) as one:
            sending = await reach(one, state, served)
            if how == "hangs up":
                await one.hang_up()
            else:
                one.socket.transport.abort()
            record = await served.ended(one.call_id)
            assert record["cause"] == ("caller_hung_up" if how == "hangs up" else "line_lost")
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        # Only the other call holds a slot.
        await served.quiet(1)


@pytest.mark.parametrize("platform", ALL)
async def test_a_caller_who_goes_before_the_start(platform: Platform, tmp_path: Path) -> None:
    async with inside(tmp_path) as served, beside_a_call(served, platform):
        async with peer(served, platform) as one:
            await one.socket.close()
        async with peer(served, platform) as one:
            one.socket.transport.abort()
        await served.quiet(1)


@pytest.mark.parametrize("platform", ALL)
async def test_a_caller_who_is_silent_for_ever_is_asked_and_then_let_go(
    platform: Platform, tmp_path: Path
) -> None:
    agent = AGENT.replace("{reprompt_ms: 60000}", "{reprompt_ms: 1000, max_reprompts: 1}")
    async with inside(tmp_path, agent=agent) as served, call(served, platform) as one:
        async with asyncio.timeout(15):
            while one.socket.close_code is None and (await served.call(one.call_id))["state"] != "ended":
                await one.hear_out()
                if platform is Platform.RELAY:
                    await asyncio.sleep(0.1)
                else:
                    await one.speak(b"\xff" * 800)
        record = await served.ended(one.call_id)
        assert record["cause"] in ("silence", "agent_hung_up")
        assert [turn["kind"] for turn in record["turns"]] == ["greeting", "reprompt", "goodbye"]
        await served.quiet()
