"""Tools against a real HTTP server: what is sent, what the model is told, and what cancellation does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from agent.agentfile import AgentFile, parse_agent
from agent.errors import ConfigError
from agent.lines import CallInfo
from agent.providers import ToolCall
from agent.tools import MAX_UNFETCHED, UNCERTAIN, ToolRunner
from agent.webhook import CUT, MAX_RESULT_BYTES

INFO = CallInfo("twilio-media", "CA1", caller="+15005550006", called="+15005550009")


def agent_with(*tools: dict[str, Any]) -> AgentFile:
    """An agent with these tools."""
    listed = "".join(f"  - {json.dumps(tool)}\n" for tool in tools)
    text = f"name: A\nlanguages: [en]\ngreeting: B\ninstructions: C\ntools:\n{listed}"
    return parse_agent(text, "a.yaml")


class Endpoint:
    """The agent owner's server: remembers requests, answers as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answer: Callable[[web.Request], Any] = lambda _: web.Response(text="fine")
        self.sockets: set[Any] = set()
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.finished = 0
        self.given_up = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else dict(request.query)
        self.requests.append((request.method, dict(request.headers), body))
        self.sockets.add(request.transport)
        self.began.set()
        answer = self.answer(request)
        response: web.StreamResponse = await answer if asyncio.iscoroutine(answer) else answer
        return response

    async def slowly(self, request: web.Request) -> web.Response:
        """Answers once the gate is open; knows when the client has gone."""
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        self.finished += 1
        return web.Response(text="booked")

    def tool(self, **more: Any) -> dict[str, Any]:
        return {"kind": "webhook", "name": "book", "description": "Books.", "url": self.url, **more}


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/tool", found.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}/tool"
    yield found
    await runner.cleanup()


@pytest.fixture
async def run(endpoint: Endpoint) -> AsyncIterator[Callable[..., Any]]:
    """Runs the tool `book` with arguments; keywords are the tool's keys in the agent file."""
    runners: list[ToolRunner] = []

    async def run_once(arguments: Any = None, /, **keys: Any) -> str:
        if not runners or keys:
            runners.append(ToolRunner(agent_with(endpoint.tool(**keys)), {}))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        return await runners[-1].run(ToolCall("t1", "book", text), INFO)

    yield run_once
    for runner in runners:
        await runner.close()


async def test_arguments_and_the_call_go_out_as_json(endpoint: Endpoint, run: Any) -> None:
    assert await run({"day": "Monday", "people": 2}) == "fine"
    method, headers, body = endpoint.requests[0]
    assert method == "POST"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "tool": "book",
        "arguments": {"day": "Monday", "people": 2},
        "call": {"id": "CA1", "transport": "twilio-media", "from": "+15005550006", "to": "+15005550009"},
    }


async def test_a_get_carries_its_arguments_in_the_query(endpoint: Endpoint, run: Any) -> None:
    assert await run({"day": "é & b", "people": 2, "sure": True}, method="GET") == "fine"
    assert endpoint.requests[0][0] == "GET"
    assert endpoint.requests[0][2] == {"day": "é & b", "people": "2", "sure": "true"}


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
async def test_no_arguments_are_an_empty_object(endpoint: Endpoint, run: Any, arguments: str) -> None:
    assert await run(arguments) == "fine"
    assert endpoint.requests[0][2]["arguments"] == {}


@pytest.mark.parametrize("arguments", ["[1]", "{", "null", '{"a": NaN}', "5"])
async def test_arguments_that_are_no_object_are_not_sent(
    endpoint: Endpoint, run: Any, arguments: str
) -> None:
    assert await run(arguments) == "error: the arguments were not a JSON object"
    assert endpoint.requests == []


async def test_arguments_that_do_not_fit_the_schema_are_not_sent(endpoint: Endpoint, run: Any) -> None:
    parameters = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    assert await run({}, parameters=parameters) == "error: day is missing"
    assert await run({"day": 5}) == "error: day must be string"
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, "no such day", "error: HTTP 404: no such day"),
        (500, "", "error: HTTP 500"),
        (503, "x" * 1000, f"error: HTTP 503: {'x' * 200}"),
        (302, "", "error: HTTP 302: redirects are not followed"),
        (307, "", "error: HTTP 307: redirects are not followed"),
        (204, "", "ok: done, without a result"),
        (200, "  ", "ok: done, without a result"),
    ],
)
async def test_the_model_is_told_of_the_status(
    endpoint: Endpoint, run: Any, status: int, body: str, expected: str
) -> None:
    headers = {"Location": endpoint.url} if status in (302, 307) else {}
    endpoint.answer = lambda _: web.Response(status=status, text=body or None, headers=headers)
    assert await run({"day": "Monday"}) == expected
    assert len(endpoint.requests) == 1


async def test_any_text_is_an_answer(endpoint: Endpoint, run: Any) -> None:
    endpoint.answer = lambda _: web.Response(body="café".encode("latin-1"), content_type="text/plain",
                                             charset="latin-1")  # fmt: skip
    assert await run() == "café"
    endpoint.answer = lambda _: web.Response(body=b"\xff\xfe{", headers={"Content-Type": "x/y; charset=hm"})
    assert await run() == "\ufffd\ufffd{"


async def test_an_answer_that_comes_in_pieces_is_whole(endpoint: Endpoint, run: Any) -> None:
    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"free": ', "[“ten".encode()[:6], "[“ten".encode()[6:], b'"]}'):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    endpoint.answer = in_pieces
    assert await run() == '{"free": [“ten"]}'


async def test_a_huge_answer_is_cut(endpoint: Endpoint, run: Any) -> None:
    endpoint.answer = lambda _: web.Response(text="é" * 1_000_000)
    assert await run() == "é" * (MAX_RESULT_BYTES // 2) + CUT
    endpoint.answer = lambda _: web.Response(text="x" + "é" * MAX_RESULT_BYTES)
    assert await run() == "x" + "é" * (MAX_RESULT_BYTES // 2 - 1) + CUT


async def test_broken_compression_is_an_error(endpoint: Endpoint, run: Any) -> None:
    endpoint.answer = lambda _: web.Response(body=b"nope", headers={"Content-Encoding": "gzip"})
    assert (await run(None, read_only=True)).startswith("error: ")


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_slow_endpoint_is_not_waited_for(endpoint: Endpoint, run: Any, read_only: bool) -> None:
    endpoint.answer = endpoint.slowly
    result = await run(None, timeout_ms=100, read_only=read_only)
    assert result == "error: no answer within 100 ms" + ("" if read_only else f"; {UNCERTAIN}")


@pytest.mark.parametrize("read_only", [True, False])
async def test_an_answer_that_never_ends_is_not_waited_for(
    endpoint: Endpoint, run: Any, read_only: bool
) -> None:
    async def for_ever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"so")
        await endpoint.gate.wait()
        return response

    endpoint.answer = for_ever
    assert (await run(None, timeout_ms=100, read_only=read_only)).startswith("error: no answer within 100 ms")


async def test_an_endpoint_that_hangs_up_leaves_an_effect_uncertain(endpoint: Endpoint, run: Any) -> None:
    def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    endpoint.answer = hang_up
    result = await run()
    assert result.startswith("error: ")
    assert result.endswith(UNCERTAIN)
    assert len(endpoint.requests) == 1


async def test_what_could_not_be_sent_had_no_effect() -> None:
    closed = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    tool = {"kind": "webhook", "name": "book", "description": "x", "url": f"http://127.0.0.1:{port}/"}
    runner = ToolRunner(agent_with(tool), {})
    result = await runner.run(ToolCall("t1", "book", "{}"), INFO)
    assert result.startswith("error: Cannot connect to host")
    assert UNCERTAIN not in result
    await runner.close()


async def test_a_kept_connection_is_used_for_reading_never_for_effects(endpoint: Endpoint, run: Any) -> None:
    await run({"n": 1}, read_only=True)
    await run({"n": 2})
    assert len(endpoint.sockets) == 1
    await run({"n": 3}, read_only=False)
    await run({"n": 4})
    assert len(endpoint.sockets) == 3


async def test_reading_is_tried_again_when_the_kept_connection_was_dead(endpoint: Endpoint, run: Any) -> None:
    assert await run(None, read_only=True) == "fine"
    times = iter(("hang up",))

    def hang_up_once(request: web.Request) -> web.Response:
        if next(times, None) and request.transport is not None:
            request.transport.close()
        return web.Response(text="again")

    endpoint.answer = hang_up_once
    assert await run() == "again"
    assert len(endpoint.requests) == 3


async def test_cookies_of_one_caller_are_not_sent_for_the_next(endpoint: Endpoint, run: Any) -> None:
    endpoint.answer = lambda _: web.Response(text="fine", headers={"Set-Cookie": "who=CA1"})
    await run(None, read_only=True)
    await run()
    assert "Cookie" not in endpoint.requests[1][1]


# --- secrets -------------------------------------------------------------------------------------------


async def test_a_header_takes_its_secret_from_the_environment(endpoint: Endpoint) -> None:
    tool = endpoint.tool(headers={"Authorization": "Bearer ${BOOKING_KEY}", "X-Two": "${A}-${BOOKING_KEY}"})
    runner = ToolRunner(agent_with(tool), {"BOOKING_KEY": "s3cret\n", "A": "a"})
    await runner.run(ToolCall("t1", "book", "{}"), INFO)
    headers = endpoint.requests[0][1]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Two"] == "a-s3cret"
    assert all("s3cret" not in str(spec) for spec in runner.specs)
    await runner.close()


@pytest.mark.parametrize("environ", [{}, {"BOOKING_KEY": ""}])
def test_a_secret_that_is_not_set_is_found_at_the_start(environ: dict[str, str]) -> None:
    tool = {
        "kind": "webhook", "name": "book", "description": "x", "url": "http://127.0.0.1/",
        "headers": {"Authorization": "Bearer ${BOOKING_KEY}"},
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        ToolRunner(agent_with(tool), environ)
    assert str(caught.value) == "tool book: header Authorization needs the environment variable BOOKING_KEY"


def test_a_header_cannot_be_smuggled_in() -> None:
    tool = {
        "kind": "webhook", "name": "book", "description": "x", "url": "http://127.0.0.1/",
        "headers": {"X-Key": "${KEY}"},
    }  # fmt: skip
    with pytest.raises(ConfigError, match="has a line break") as caught:
        ToolRunner(agent_with(tool), {"KEY": "a\r\nX-Evil: b"})
    assert "Evil" not in str(caught.value)


def test_an_address_that_cannot_be_used_is_found_at_the_start() -> None:
    tool = {"kind": "webhook", "name": "book", "description": "x", "url": "http://127.0.0.1:99999/"}
    with pytest.raises(ConfigError, match=r"tool book: url 'http://127\.0\.0\.1:99999/' cannot be used"):
        ToolRunner(agent_with(tool), {})


# --- cancellation --------------------------------------------------------------------------------------


async def start(runner: ToolRunner, endpoint: Endpoint, arguments: str = "{}") -> asyncio.Task[str]:
    """The tool is running: the endpoint has the request."""
    endpoint.began.clear()
    task = asyncio.create_task(runner.run(ToolCall("t1", "book", arguments), INFO))
    async with asyncio.timeout(20):
        await endpoint.began.wait()
    return task


async def cancel(task: asyncio.Task[str]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_reading_is_given_up_with_its_reply_and_can_be_done_again(endpoint: Endpoint) -> None:
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool(read_only=True)), {})
    await cancel(await start(runner, endpoint))
    async with asyncio.timeout(20):
        await endpoint.given_up.wait()
    endpoint.gate.set()
    assert await runner.run(ToolCall("t2", "book", "{}"), INFO) == "booked"
    assert (len(endpoint.requests), endpoint.finished) == (2, 1)
    await runner.close()


async def test_an_effect_is_seen_through_and_its_outcome_kept_for_the_next_reply(endpoint: Endpoint) -> None:
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    await cancel(await start(runner, endpoint, '{"day": "Monday", "at": 9}'))
    endpoint.gate.set()
    # Another id, other white space and order: still the same booking.
    again = ToolCall("t2", "book", '{"at":9,"day":"Monday"}')
    assert await runner.run(again, INFO) == "booked"
    assert (len(endpoint.requests), endpoint.finished) == (1, 1)
    assert not endpoint.given_up.is_set()
    await runner.close()


async def test_a_reply_that_comes_while_an_effect_is_running_waits_for_it(endpoint: Endpoint) -> None:
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    await cancel(await start(runner, endpoint))
    again = asyncio.create_task(runner.run(ToolCall("t2", "book", "{}"), INFO))
    await asyncio.sleep(0.02)
    assert not again.done()
    await cancel(again)
    third = asyncio.create_task(runner.run(ToolCall("t3", "book", "{}"), INFO))
    endpoint.gate.set()
    assert await third == "booked"
    assert len(endpoint.requests) == 1
    await runner.close()


async def test_the_same_effect_is_sent_again_once_its_outcome_was_taken(endpoint: Endpoint, run: Any) -> None:
    await run({"day": "Monday"})
    await run({"day": "Monday"})
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("arguments", "info"), [('{"day": "Tuesday"}', INFO), ("{}", CallInfo("twilio-media", "CA2"))]
)
async def test_another_effect_is_another(endpoint: Endpoint, arguments: str, info: CallInfo) -> None:
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    await cancel(await start(runner, endpoint))
    endpoint.gate.set()
    assert await runner.run(ToolCall("t2", "book", arguments), info) == "booked"
    assert len(endpoint.requests) == 2
    await runner.close()


async def test_outcomes_that_nobody_takes_do_not_pile_up(endpoint: Endpoint) -> None:
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    for number in range(MAX_UNFETCHED + 20):
        task = asyncio.create_task(runner.run(ToolCall("t", "book", f'{{"n": {number}}}'), INFO))
        await asyncio.sleep(0)
        await cancel(task)
        await asyncio.gather(*runner._effects.values())
    assert len(runner._effects) == MAX_UNFETCHED
    await runner.close()


async def test_closing_sees_effects_through(endpoint: Endpoint) -> None:
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    await cancel(await start(runner, endpoint))
    closing = asyncio.create_task(runner.close())
    await asyncio.sleep(0.02)
    assert not closing.done()
    endpoint.gate.set()
    await closing
    assert endpoint.finished == 1
    await runner.close()


async def test_closing_does_not_wait_for_ever(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.tools.CLOSE_S", 0.05)
    endpoint.answer = endpoint.slowly
    runner = ToolRunner(agent_with(endpoint.tool()), {})
    await cancel(await start(runner, endpoint))
    await runner.close()
    assert f"tool book was cut off: {UNCERTAIN}" in caplog.text
    endpoint.gate.set()


# --- what the model is told of --------------------------------------------------------------------------


def all_kinds() -> ToolRunner:
    return ToolRunner(
        agent_with(
            {"kind": "end_call"},
            {"kind": "transfer_call", "targets": {"desk": "+15005550006", "lab": "sip:lab@example.com"}},
            {
                "kind": "webhook", "name": "look", "description": "Looks.", "url": "http://127.0.0.1/",
                "read_only": True, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
            },
        ),
        {},
    )  # fmt: skip


def test_the_model_is_told_of_every_tool() -> None:
    end, transfer, look = all_kinds().specs
    assert (end.name, end.read_only) == ("end_call", False)
    assert end.parameters == {"type": "object", "properties": {}}
    assert transfer.name == "transfer_call"
    assert transfer.parameters["properties"] == {"target": {"type": "string", "enum": ["desk", "lab"]}}
    assert (look.name, look.read_only, look.description) == ("look", True, "Looks.")
    assert look.parameters["properties"] == {"a": {"type": "string"}}


def test_ending_and_handing_over_are_the_calls_own_business() -> None:
    tools = all_kinds()
    assert tools.ends_call("end_call")
    assert tools.transfers("transfer_call")
    for name in ("look", "transfer_call", "unheard_of"):
        assert not tools.ends_call(name)
    for name in ("look", "end_call", "unheard_of"):
        assert not tools.transfers(name)


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ('{"target": "lab"}', "sip:lab@example.com"),
        ('{"target": "desk"}', "+15005550006"),
        ('{"target": "roof"}', "+15005550006"),
        ('{"target": ["lab"]}', "+15005550006"),
        ("{}", "+15005550006"),
        ("", "+15005550006"),
        ("nonsense", "+15005550006"),
    ],
)
def test_a_transfer_goes_to_the_first_target_unless_it_names_another(arguments: str, target: str) -> None:
    assert all_kinds().transfer_target(ToolCall("t", "transfer_call", arguments)) == target


@pytest.mark.parametrize("name", ["unheard_of", "end_call"])
async def test_a_tool_that_cannot_be_run_is_an_error_for_the_model(name: str) -> None:
    assert await all_kinds().run(ToolCall("t", name, "{}"), INFO) == f"error: there is no tool named {name}"
