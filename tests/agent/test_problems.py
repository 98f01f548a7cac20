"""Errors as HTTP clients see them."""

import logging

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from agent.problems import problem, problems


async def _fails(_: web.Request) -> web.Response:
    raise RuntimeError("the secret detail")


async def _full(_: web.Request) -> web.Response:
    raise web.HTTPServiceUnavailable(text="no free slot")


async def _moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/full")


@pytest.mark.parametrize(
    ("path", "status", "title", "detail"),
    [
        ("/nowhere", 404, "Not Found", "404: Not Found"),
        ("/full", 503, "Service Unavailable", "no free slot"),
        ("/fails", 500, "Internal Server Error", "the server failed to answer this; its log says why"),
    ],
)
async def test_every_error_is_problem_json(
    path: str, status: int, title: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = web.Application(middlewares=[problems])
    app.add_routes([web.get("/fails", _fails), web.get("/full", _full)])
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        with caplog.at_level(logging.ERROR, "agent.problems"):
            answer = await client.get(path)
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        body = orjson.loads(await answer.read())
    assert body == {"type": "about:blank", "title": title, "status": status, "detail": detail}
    # One request's fault is told to the log in full, to the client not at all.
    assert ("the secret detail" in caplog.text) is (status == 500)


async def test_what_is_no_error_passes_through() -> None:
    app = web.Application(middlewares=[problems])
    app.add_routes([web.get("/moved", _moved)])
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        answer = await client.get("/moved", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/full")


def test_a_problem_can_be_made_by_hand() -> None:
    answer = problem(409, "hang up first")
    assert answer.status == 409
    assert isinstance(answer.body, bytes)
    assert orjson.loads(answer.body)["detail"] == "hang up first"
