"""Sockets and candidates."""

import asyncio

import aioice
import pytest

from agent.clock import LoopClock
from transports.webrtc.link import MAX_RECORDS, Link, _as_seen_outside
from transports.webrtc.reach import IceOptions
from transports.webrtc.sdp import IceParameters


def host(address: str, port: int) -> aioice.Candidate:
    return aioice.Candidate("1", 1, "udp", 1, address, port, "host")


def make(options: IceOptions, *, local: bool = True) -> tuple[Link, list[bytes]]:
    media: list[bytes] = []
    return Link(options, LoopClock(), media.append, local=local), media


def test_ports_behind_nat_are_announced_under_the_public_address_first() -> None:
    candidates = (host("10.0.0.5", 5000), host("2001:db8::5", 5001), host("127.0.0.1", 5002))
    seen = [(one.host, one.port) for one in _as_seen_outside(candidates, "203.0.113.9")]
    assert seen == [("203.0.113.9", 5000), ("10.0.0.5", 5000), ("2001:db8::5", 5001), ("127.0.0.1", 5002)]


async def test_loopback_is_offered_to_this_machine_only() -> None:
    for local in (True, False):
        link, _ = make(IceOptions(), local=local)
        ice = await link.gather()
        others = [one for one in ice.candidates if one.host != "127.0.0.1"]
        assert (len(others) < len(ice.candidates)) == (local or not others)
        await link.close()


async def test_each_call_has_a_port_of_the_range_and_none_is_left_open() -> None:
    options = IceOptions(hosts=("127.0.0.1",), ports=range(41_200, 41_202))
    links = [make(options)[0] for _ in range(3)]
    ports = [(await link.gather()).candidates[0].port for link in links[:2]]
    assert sorted(ports) == [41_200, 41_201]
    with pytest.raises(ConnectionError, match="no UDP port"):
        await links[2].gather()
    for link in links:
        await link.close()
    again, _ = make(options)
    assert (await again.gather()).candidates[0].port == 41_200
    await again.close()


async def test_datagrams_are_told_apart_and_records_do_not_pile_up() -> None:
    link, media = make(IceOptions(hosts=("127.0.0.1",)))
    await link.gather()
    for first in (0x80, 0xBF):
        link.received(bytes([first]) + b"media")
    link.received(b"")
    for _ in range(MAX_RECORDS + 5):
        link.received(b"\x17record")
    assert len(media) == 2
    assert link.dropped == 6
    assert await link._recv() == b""
    await link.close()


async def test_there_is_nothing_to_send_over_before_a_connection_or_after_the_end() -> None:
    link, _ = make(IceOptions(hosts=("127.0.0.1",)))
    await link.gather()
    assert not link.send_now(b"x")
    with pytest.raises(ConnectionError):
        await link._send(b"x")
    await link.close()
    await link.close()
    with pytest.raises(ConnectionError):
        await link._recv()


async def test_a_browser_of_unknown_address_is_found_by_its_own_checks() -> None:
    link, media = make(IceOptions(hosts=("127.0.0.1",)))
    ours = await link.gather()
    browser = aioice.Connection(ice_controlling=True)
    await browser.gather_candidates()
    browser.remote_username, browser.remote_password = ours.ufrag, ours.password
    for candidate in ours.candidates:
        await browser.add_remote_candidate(candidate)
    await browser.add_remote_candidate(None)
    # The browser's own candidates stay unknown here, as names under .local do: it is found by its checks.
    remote = IceParameters(browser.local_username, browser.local_password)
    await asyncio.wait_for(asyncio.gather(link.connect(remote), browser.connect()), 20)
    await browser.send(b"\x80hello")
    assert link.send_now(b"\x80answer")
    assert await browser.recv() == b"\x80answer"
    await asyncio.sleep(0.02)
    assert media == [b"\x80hello"]
    await browser.close()
    await link.close()
