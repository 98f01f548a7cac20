"""Fleets against a small server of the test's own: greets, hears, answers, clears."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable

import orjson
import pytest
from aiohttp import web

from agent.clock import LoopClock
from loadtest.bulk.dialect import TELNYX, TWILIO
from loadtest.bulk.fleet import Member
from loadtest.bulk.media_fleet import MediaFleet
from loadtest.bulk.playback import DEAD_AIR_MS
from loadtest.bulk.relay_call import RelayCall
from loadtest.bulk.relay_fleet import RelayFleet
from loadtest.bulk.script import Script
from loadtest.bulk.socket import Target
from loadtest.callers.errors import Unreachable
from tests.loadtest.bulk.speeches import LOUD, speech
from tests.virtual import run_virtually, stall, virtual_clock


class Platformless:
    """Answers every call with a word and every stop with nothing; refuses beyond `room`."""

    def __init__(self) -> None:
        self.room = 100
        self.taken = 0
        self.busy_beyond = 100
        """Calls that are taken; others are refused when they name themselves."""
        self.mute = False
        self.heard: dict[str, list[str]] = {}
        """Events by path."""
        self.sockets: list[web.WebSocketResponse] = []
        self.target = Target("", 0)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if len(self.sockets) >= self.room:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        heard = self.heard.setdefault(request.path, [])
        async for message in socket:
            found = orjson.loads(message.data)
            kind = found.get("event") or found["type"]
            heard.append(kind)
            if kind in ("start", "setup"):
                self.taken += 1
                if self.taken > self.busy_beyond:
                    await socket.close(code=1013, message=b"busy")
                    break
            if self.mute:
                continue
            if kind == "start":
                audio = b64encode(LOUD).decode()
                await socket.send_str(f'{{"event":"media","media":{{"payload":"{audio}"}}}}')
            elif kind == "prompt":
                await socket.send_str('{"type":"text","token":"Yes.","last":true}')
        return socket


@pytest.fixture
async def server() -> AsyncIterator[Platformless]:
    found = Platformless()
    app = web.Application()
    for path in ("/twilio/media", "/telnyx/media", "/twilio/relay"):
        app.router.add_get(path, found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.target = Target("127.0.0.1", runner.addresses[0][1])
    yield found
    await runner.cleanup()


def media_fleet(target: Target) -> MediaFleet:
    script = Script(think_ms=(20.0, 20.0), answer_within_ms=200.0)
    return MediaFleet(target, LoopClock(), speech(), (TWILIO, TELNYX), script)


async def test_media_calls_are_spread_over_the_platforms_and_paced(server: Platformless) -> None:
    fleet = media_fleet(server.target)
    await fleet.open(6, 500.0)
    assert fleet.live == 6 == len(set(fleet.call_ids))
    fleet.measure_from_now()
    clock = LoopClock()
    begun_ms = clock.now_ms()
    await asyncio.sleep(0.8)
    passed_ms = clock.now_ms() - begun_ms
    sent = fleet.figures.frames_sent
    greetings = fleet.figures.greetings
    fleet.close()
    assert sent == pytest.approx(6 * passed_ms / 20, rel=0.15)
    assert greetings == 6
    assert sum(fleet.lateness.counts) == sent, "each frame's lateness is known"
    await asyncio.sleep(0.05)
    for path in ("/twilio/media", "/telnyx/media"):
        heard = server.heard[path]
        assert heard.count("start") == 3
        assert heard.count("stop") == 3
        assert heard.count("media") > 100
    assert fleet.live == 0
    assert fleet.figures.lost_calls == 0, "a fleet that hangs up has lost nothing"


async def test_calls_that_the_server_ends_are_lost(server: Platformless) -> None:
    fleet = media_fleet(server.target)
    await fleet.open(3, 500.0)
    await server.sockets[0].close()
    await asyncio.sleep(0.1)
    assert fleet.figures.lost_calls == 1
    assert len(set(fleet.call_ids)) == 3, "the turns of a call that has ended count as well"
    fleet.measure_from_now()
    assert len(fleet.call_ids) == 2, "unless it ended before"
    fleet.close()


async def test_refused_calls_are_counted_and_the_others_go_on(server: Platformless) -> None:
    server.room = 2
    fleet = media_fleet(server.target)
    await fleet.open(5, 500.0)
    assert (fleet.live, fleet.refused) == (2, 3)
    fleet.close()


@pytest.mark.parametrize("kind", ["media", "relay"])
async def test_a_call_that_is_refused_when_it_names_itself_is_refused_and_not_lost(
    server: Platformless, kind: str
) -> None:
    server.busy_beyond = 2
    fleet = media_fleet(server.target) if kind == "media" else RelayFleet(server.target, LoopClock())
    await fleet.open(5, 500.0)
    await until(lambda: fleet.refused == 3)
    assert (fleet.live, fleet.lost, len(fleet.call_ids)) == (2, 0, 2)
    assert (fleet.figures.refused_calls, fleet.figures.lost_calls) == (3, 0)
    await server.sockets[0].close()
    await until(lambda: fleet.lost == 1)
    assert (fleet.refused, fleet.figures.lost_calls) == (3, 1)
    fleet.close()


async def test_with_no_call_at_all_the_server_is_named(server: Platformless) -> None:
    server.room = 0
    for fleet in (media_fleet(server.target), RelayFleet(server.target, LoopClock())):
        with pytest.raises(Unreachable, match=str(server.target.port)):
            await fleet.open(1, 500.0)
        fleet.close()


async def test_relay_calls_ask_at_their_rhythm_and_are_answered(server: Platformless) -> None:
    fleet = RelayFleet(server.target, LoopClock(), turn_ms=100.0)
    await fleet.open(4, 500.0)
    await asyncio.sleep(1.1)
    fleet.measure_from_now()
    clock = LoopClock()
    begun_ms = clock.now_ms()
    await asyncio.sleep(0.5)
    passed_ms = clock.now_ms() - begun_ms
    fleet.close()
    assert fleet.figures.turns == pytest.approx(4 * passed_ms / 100, abs=6)
    assert len(fleet.figures.voice_to_voice_ms) == pytest.approx(fleet.figures.turns, abs=4)
    # On a machine that stood still meanwhile, two prompts came at once.
    assert fleet.figures.unanswered == 0 or fleet.lateness.max_ms > 50
    assert sum(fleet.lateness.counts) == fleet.figures.turns
    assert server.heard["/twilio/relay"].count("setup") == 4


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the fleet has no events to wait for
            await asyncio.sleep(0.01)


def redialling(target: Target, script: Script | None = None) -> MediaFleet:
    script = script or Script(think_ms=(20.0, 20.0), answer_within_ms=200.0)
    return MediaFleet(target, LoopClock(), speech(), (TWILIO, TELNYX), script, redial_ms=20.0)


async def test_callers_whose_call_was_lost_call_again(server: Platformless) -> None:
    fleet = redialling(server.target)
    await fleet.open(3, 500.0)
    lost = fleet.call_ids[0]
    await server.sockets[0].close()
    await until(lambda: fleet.figures.lost_calls == 1 and fleet.live == 3)
    fleet.measure_from_now()
    assert lost not in fleet.call_ids, "a new call"
    fleet.close()


async def test_cut_sockets_are_not_the_servers_fault_and_are_dialled_again(server: Platformless) -> None:
    fleet = redialling(server.target)
    await fleet.open(4, 500.0)
    assert fleet.cut(0.5) == 2
    assert fleet.live == 2
    await until(lambda: fleet.live == 4)
    assert (fleet.figures.cut_calls, fleet.figures.lost_calls) == (2, 0)
    fleet.close()


async def test_callers_who_hang_up_by_their_script_call_again(server: Platformless) -> None:
    fleet = redialling(server.target, Script(think_ms=(20.0, 20.0), barge_every=0, hang_up_after=1))
    await fleet.open(1, 500.0)
    await until(lambda: fleet.figures.hang_ups >= 1 and fleet.live == 1)
    assert fleet.figures.lost_calls == 0
    fleet.close()
    # The platform says so, and the server reads it when it comes to it.
    await until(lambda: "stop" in server.heard["/twilio/media"])


async def test_where_one_hangs_up_the_next_takes_the_place_at_once(server: Platformless) -> None:
    script = Script(think_ms=(20.0, 20.0), barge_every=0, hang_up_after_ms=100.0)
    fleet = MediaFleet(server.target, LoopClock(), speech(), (TWILIO,), script, redial_ms=60_000.0)
    await fleet.open(2, 500.0)
    await until(lambda: fleet.figures.hang_ups >= 4 and fleet.live == 2)
    assert fleet.figures.lost_calls == fleet.refused == 0
    fleet.close()


async def test_relay_callers_hang_up_by_time_too(server: Platformless) -> None:
    script = Script(hang_up_after_ms=100.0)
    fleet = RelayFleet(server.target, LoopClock(), 100.0, script=script, redial_ms=60_000.0)
    await fleet.open(2, 500.0)
    await until(lambda: fleet.figures.hang_ups >= 2 and fleet.live == 2)
    fleet.close()


async def test_a_server_that_takes_no_calls_is_asked_again_and_again(server: Platformless) -> None:
    fleet = redialling(server.target)
    await fleet.open(1, 500.0)
    server.room = 0
    fleet.cut(1.0)
    await until(lambda: fleet.figures.refused_calls >= 2)
    server.room = 100
    await until(lambda: fleet.live == 1)
    fleet.close()


async def test_a_fleet_grows_and_shrinks(server: Platformless) -> None:
    fleet = redialling(server.target)
    await fleet.open(2, 500.0)
    await fleet.open(3, 500.0)
    assert (fleet.wanted, fleet.live) == (5, 5)
    fleet.hang_up(4)
    assert (fleet.wanted, fleet.live) == (1, 1)
    await asyncio.sleep(0.1)
    assert fleet.live == 1, "those who were sent home do not call again"
    fleet.close()


def test_a_server_that_never_answers_cannot_keep_a_fleet_opening_for_ever() -> None:
    class Hanging(MediaFleet):
        async def _connect(self, number: int) -> Member:
            await asyncio.Event().wait()
            raise AssertionError

    async def scenario() -> float:
        clock = virtual_clock()
        begun_ms = clock.now_ms()
        fleet = Hanging(Target("127.0.0.1", 1), clock, speech(), (TWILIO,), Script())
        with pytest.raises(Unreachable):
            await fleet.open(100, 50.0)
        fleet.close()
        assert fleet.refused == fleet.figures.refused_calls == 100
        return clock.now_ms() - begun_ms

    assert run_virtually(scenario) < 60_000


async def test_a_mute_server_has_errors_even_if_the_step_is_shorter_than_its_callers_patience(
    server: Platformless,
) -> None:
    """It takes calls and says nothing: no greeting, no answer, and so no latency to judge it by."""
    script = Script(think_ms=(20.0, 20.0), answer_within_ms=60_000.0)
    server.mute = True
    fleet = MediaFleet(server.target, LoopClock(), speech(), (TWILIO, TELNYX), script)
    await fleet.open(2, 500.0)
    fleet.measure_from_now()
    await until(lambda: _waited_ms(fleet) > 100.0)
    fleet.end_measuring()
    assert fleet.figures.failures == 0, "nobody has waited for long"
    await until(lambda: _waited_ms(fleet) > DEAD_AIR_MS)
    fleet.figures.lost_calls = 1
    fleet.end_measuring()
    assert fleet.figures.unanswered == 2, "whatever else went wrong"
    fleet.figures.unanswered = 0
    fleet.figures.voice_to_voice_ms.append(300.0)
    fleet.end_measuring()
    assert fleet.figures.unanswered == 0, "where some are answered, those who still wait may be as well"
    fleet.close()


def _waited_ms(fleet: MediaFleet) -> float:
    since = [member.call.waits_since_ms for member in fleet._members]
    now_ms = LoopClock().now_ms()
    return now_ms - min((each for each in since if each is not None), default=now_ms)


class Line:
    """A socket that takes everything."""

    def __init__(self) -> None:
        self.blocked = self.lost = 0
        self.closed = False
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def close(self) -> None:
        self.closed = True

    cut = close


def test_prompts_that_were_sent_late_are_known_to_be() -> None:
    async def scenario() -> tuple[int, float]:
        clock = virtual_clock()
        fleet, line = RelayFleet(Target("", 0), clock, 1_000.0), Line()
        member = Member(0, RelayCall(fleet.figures), line)
        fleet._members.append(member)
        fleet._started(member)
        clock.call_later(1_990.0, lambda: stall(50.0))
        await asyncio.sleep(3.5)
        fleet.close()
        return len(line.sent), fleet.lateness.max_ms

    sent, most_ms = run_virtually(scenario)
    assert sent == 3
    assert most_ms == pytest.approx(40, abs=1)


def test_frames_that_did_not_get_through_count_for_calls_that_have_gone_as_well() -> None:
    async def scenario() -> list[tuple[int, int]]:
        fleet, lines = RelayFleet(Target("", 0), virtual_clock()), [Line(), Line()]
        for number, line in enumerate(lines):
            line.blocked, line.lost = 3, 2
            fleet._members.append(Member(number, RelayCall(fleet.figures), line))
        found: list[tuple[int, int]] = []

        def tell() -> None:
            fleet.tally()
            found.append((fleet.figures.blocked, fleet.figures.frames_lost))

        tell()
        fleet.hang_up(1)
        tell()
        fleet.measure_from_now()
        tell()
        fleet.close()
        return found

    assert run_virtually(scenario) == [(6, 4), (6, 4), (0, 0)]
