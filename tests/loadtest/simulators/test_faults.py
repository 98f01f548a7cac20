"""Faults: as many as asked for, of the kinds asked for, switched while a simulator runs."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from loadtest.simulators.faults import ALL_FAULTS, Fault, Faults, control_routes
from loadtest.simulators.profile import PRESETS, Profile, Timings


def test_nothing_fails_until_something_is_switched_on() -> None:
    faults = Faults()
    assert [faults.next() for _ in range(100)] == [None] * 100
    assert faults.requests == 100
    assert not faults.done


def test_about_the_share_of_requests_is_hit_with_all_kinds_evenly() -> None:
    faults = Faults(seed=1)
    faults.switch(0.25)
    for _ in range(8_000):
        faults.next()
    assert sum(faults.done.values()) == pytest.approx(2_000, rel=0.1)
    assert set(faults.done) == set(ALL_FAULTS)
    assert min(faults.done.values()) > 200


def test_a_limit_ends_the_faults() -> None:
    faults = Faults()
    faults.switch(1, [Fault.GARBAGE], limit=2)
    assert [faults.next() for _ in range(4)] == [Fault.GARBAGE, Fault.GARBAGE, None, None]
    assert faults.done == {Fault.GARBAGE: 2}


def test_the_same_seed_hits_the_same_requests() -> None:
    def run() -> list[Fault | None]:
        faults = Faults(seed=5)
        faults.switch(0.5)
        return [faults.next() for _ in range(50)]

    assert run() == run()


@pytest.mark.parametrize(
    ("share", "kinds", "limit"),
    [(1.5, ALL_FAULTS, None), (-0.1, ALL_FAULTS, None), (1, (), None), (1, ALL_FAULTS, -1)],
)
def test_a_switch_that_makes_no_sense_is_refused(
    share: float, kinds: tuple[Fault, ...], limit: int | None
) -> None:
    faults = Faults()
    with pytest.raises(ValueError, match="expected"):
        faults.switch(share, kinds, limit=limit)
    assert faults.share == 0


@pytest.fixture
async def faults() -> Faults:
    return Faults()


@pytest.fixture
async def timings() -> Timings:
    return Timings({"first_token": Profile.fixed(1), "inter_token": Profile.fixed(2)})


@pytest.fixture
async def control(
    faults: Faults, timings: Timings
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(control_routes(faults, timings))
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_faults_are_switched_over_http(
    control: TestClient[web.Request, web.Application], faults: Faults
) -> None:
    answer = await control.put("/faults", json={"share": 1, "kinds": ["stall_open"], "limit": 1})
    assert answer.status == 200
    assert faults.next() is Fault.STALL_OPEN
    shown = await (await control.get("/faults")).json()
    assert shown == {
        "share": 1,
        "kinds": ["stall_open"],
        "limit": 0,
        "requests": 1,
        "done": {"stall_open": 1},
    }


async def test_an_empty_switch_turns_faults_off(
    control: TestClient[web.Request, web.Application], faults: Faults
) -> None:
    faults.switch(1)
    assert (await control.put("/faults", json={})).status == 200
    assert faults.next() is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "unexpected end"),
        (b"[]", "expected an object"),
        (b'{"share":2}', "expected 0 to 1"),
        (b'{"share":"all"}', "expected a number"),
        (b'{"share":1,"kinds":["explode"]}', "die_mid_stream"),
        (b'{"share":1,"kinds":[]}', "at least one"),
        (b'{"share":1,"limit":1.5}', "whole number"),
        (b'{"chance":1}', "expected an object with share"),
    ],
)
async def test_a_mistake_in_faults_is_answered_and_changes_nothing(
    control: TestClient[web.Request, web.Application], faults: Faults, body: bytes, says: str
) -> None:
    answer = await control.put("/faults", data=body)
    assert answer.status == 400
    assert says in (await answer.json())["error"]
    assert faults.next() is None


async def test_profiles_are_set_by_preset_name_and_by_percentiles(
    control: TestClient[web.Request, web.Application], timings: Timings
) -> None:
    wanted = {
        "first_token": "openai.gpt-4.1.first_token",
        "inter_token": {"median_ms": 5, "p95_ms": 6, "p99_ms": 7},
    }
    assert (await control.put("/profile", json=wanted)).status == 200
    assert timings.profiles["first_token"] == PRESETS["openai.gpt-4.1.first_token"]
    shown = await (await control.get("/profile")).json()
    assert shown["inter_token"] == {"median_ms": 5.0, "p95_ms": 6.0, "p99_ms": 7.0}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "expected an object"),
        (b'{"last_token":"none"}', "use one of first_token, inter_token"),
        (b'{"first_token":"gpt-9"}', "no profile named"),
        (b'{"first_token":{"median_ms":1}}', "median_ms, p95_ms, p99_ms"),
        (b'{"first_token":{"median_ms":1,"p95_ms":"2","p99_ms":3}}', "expected numbers"),
        (b'{"first_token":{"median_ms":3,"p95_ms":2,"p99_ms":1}}', "median <= p95"),
        (b'{"first_token":"none","inter_token":"gpt-9"}', "no profile named"),
    ],
)
async def test_a_mistake_in_a_profile_is_answered_and_changes_nothing(
    control: TestClient[web.Request, web.Application], timings: Timings, body: bytes, says: str
) -> None:
    answer = await control.put("/profile", data=body)
    assert answer.status == 400
    assert says in (await answer.json())["error"]
    assert timings.profiles == {"first_token": Profile.fixed(1), "inter_token": Profile.fixed(2)}
