"""One request to an agent owner's endpoint. What becomes of failures is in `test_tools`."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.agentfile.schema import WebhookTool
from agent.lines import CallInfo
from agent.webhook import CUT, DONE, MAX_RESULT_BYTES, Webhook

INFO = CallInfo("twilio-media", "CA1", caller="+15005550006", called="+15005550007")


class Endpoint:
    """Remembers what it was asked, answers as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: dict[str, Any] = {"text": "ok"}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, dict(request.query), await request.read()))
        self.headers.append(dict(request.headers))
        return web.Response(**self.answer)

    def tool(self, **more: Any) -> WebhookTool:
        return WebhookTool.model_validate(
            {"kind": "webhook", "name": "book", "description": "Books.", "url": self.url, **more}
        )


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/book", found.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        found.url = str(server.make_url("/book"))
        yield found


async def call(tool: WebhookTool, arguments: dict[str, Any], **environ: str) -> str:
    async with aiohttp.ClientSession() as session:
        return await Webhook(tool, environ).call(session, arguments, INFO)


async def test_a_post_says_which_tool_with_what_for_whom(endpoint: Endpoint) -> None:
    assert await call(endpoint.tool(), {"day": "monday"}) == "ok"
    ((method, _, body),) = endpoint.asked
    assert method == "POST"
    assert orjson.loads(body) == {
        "tool": "book",
        "arguments": {"day": "monday"},
        "call": {"id": "CA1", "transport": "twilio-media", "from": "+15005550006", "to": "+15005550007"},
    }
    assert endpoint.headers[0]["Content-Type"] == "application/json"


async def test_a_get_puts_plain_text_and_json_values_into_the_query(endpoint: Endpoint) -> None:
    await call(
        endpoint.tool(method="GET"), {"day": "monday & tuesday", "count": 2, "urgent": True, "tags": ["a"]}
    )
    ((method, query, body),) = endpoint.asked
    assert (method, body) == ("GET", b"")
    assert query == {"day": "monday & tuesday", "count": "2", "urgent": "true", "tags": '["a"]'}


async def test_headers_are_filled_in_from_the_environment(endpoint: Endpoint) -> None:
    tool = endpoint.tool(
        headers={"Authorization": "Bearer ${KEY}", "Content-Type": "application/vnd.me+json"}
    )
    await call(tool, {}, KEY="k\n")
    assert endpoint.headers[0]["Authorization"] == "Bearer k"
    assert endpoint.headers[0]["Content-Type"] == "application/vnd.me+json"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 204}, DONE),
        ({"text": " \n"}, DONE),
        ({"status": 500, "text": "x" * 500}, f"error: HTTP 500: {'x' * 200}"),
        ({"status": 404}, "error: HTTP 404"),
        (
            {"status": 302, "headers": {"Location": "http://127.0.0.1/"}},
            "error: HTTP 302: redirects are not followed",
        ),
        (
            {"body": "s\xed".encode("latin-1"), "headers": {"Content-Type": "text/plain; charset=latin-1"}},
            "s\xed",
        ),
        ({"body": b"ok", "headers": {"Content-Type": "text/plain; charset=nonsense"}}, "ok"),
    ],
)
async def test_what_the_model_is_told(endpoint: Endpoint, answer: dict[str, Any], told: str) -> None:
    endpoint.answer = answer
    assert await call(endpoint.tool(), {}) == told


async def test_a_long_answer_is_cut_between_characters(endpoint: Endpoint) -> None:
    endpoint.answer = {"text": "x" + "\N{EURO SIGN}" * MAX_RESULT_BYTES}
    told = await call(endpoint.tool(), {})
    assert told.endswith(CUT)
    assert "\N{REPLACEMENT CHARACTER}" not in told
    assert len(told.removesuffix(CUT).encode()) <= MAX_RESULT_BYTES
