"""Offers of real browsers, and of others."""

from contextlib import suppress
from http import HTTPStatus

import pytest
from aioice import Candidate
from aiortc import RTCDtlsFingerprint
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transports.webrtc.offers import CHROME, FIREFOX, FIREFOX_MAX_BUNDLE, OBS
from transports.webrtc.codecs import Codec, CodecName
from transports.webrtc.fragment import read_fragment, write_fragment
from transports.webrtc.limits import MAX_SDP_BYTES
from transports.webrtc.sdp import (
    MAX_CANDIDATES,
    IceParameters,
    Local,
    OfferError,
    read_candidates,
    read_offer,
    write_answer,
)

OURS = Candidate("1", 1, "udp", 2130706431, "192.0.2.7", 50_000, "host")
LOCAL = Local(
    IceParameters("ours", "p" * 22, (OURS,)), (RTCDtlsFingerprint("sha-256", "AA:BB"),), 4711, "desk", 1
)


def without(sdp: str, *starts: str) -> bytes:
    return "\r\n".join(line for line in sdp.splitlines() if not line.startswith(starts)).encode() + b"\r\n"


def test_chromes_offer() -> None:
    offer = read_offer(CHROME.encode())
    assert offer.codec == Codec(CodecName.OPUS, 111)
    assert (offer.sends, offer.receives, offer.dtls_active) == (True, True, False)
    assert [section.taken for section in offer.sections] == [True, True]
    assert (offer.sctp_port, offer.max_message_bytes) == (5000, 262_144)
    assert [candidate.host for candidate in offer.ice.candidates] == ["192.0.2.20"]


def test_firefoxes_offer_has_its_credentials_and_fingerprint_anywhere() -> None:
    offer = read_offer(FIREFOX.encode())
    assert offer.codec == Codec(CodecName.OPUS, 109)
    assert offer.ice.ufrag == "3a9d1f2c"
    assert len(offer.fingerprints) == 1


def test_a_section_on_port_0_that_is_only_bundled_is_taken() -> None:
    offer = read_offer(FIREFOX_MAX_BUNDLE.encode())
    assert [(section.kind, section.taken) for section in offer.sections] == [
        ("audio", True),
        ("application", True),
    ]
    assert offer.sctp_port == 5000
    assert [candidate.port for candidate in offer.ice.candidates] == [58913]
    answer = SessionDescription.parse(write_answer(offer, LOCAL))
    assert answer.group[0].items == ["0", "1"]
    assert [media.port for media in answer.media] == [9, 9]


@pytest.mark.parametrize(
    "change",
    [
        ("a=bundle-only\r\n", ""),  # plainly refused
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"),  # bundled with nothing
        ("a=group:BUNDLE 0 1", "a=group:LS 0 1"),  # a group of another kind
    ],
)
def test_a_section_on_port_0_counts_only_in_a_bundle_that_has_a_port(change: tuple[str, str]) -> None:
    offer = read_offer(FIREFOX_MAX_BUNDLE.replace(*change).encode())
    assert [section.taken for section in offer.sections] == [True, False]
    assert offer.sctp_port is None
    answer = SessionDescription.parse(write_answer(offer, LOCAL))
    assert [media.port for media in answer.media] == [9, 0]


def test_audio_that_is_only_bundled_has_its_transport_described_elsewhere() -> None:
    audio, channel = CHROME.index("m=audio"), CHROME.index("m=application")
    bare = [
        line
        for line in CHROME[audio:channel].replace("m=audio 9", "m=audio 0").splitlines()
        if not line.startswith(("a=ice-", "a=fingerprint", "a=setup", "a=candidate"))
    ]
    head = CHROME[:audio].replace("BUNDLE 0 1", "BUNDLE 1 0")
    swapped = "\r\n".join([head + CHROME[channel:], *bare, "a=bundle-only", ""])
    offer = read_offer(swapped.encode())
    assert offer.ice.ufrag == "TzQ1"
    assert len(offer.fingerprints) == 1
    assert [(section.kind, section.taken) for section in offer.sections] == [
        ("application", True),
        ("audio", True),
    ]


def test_a_whip_encoder_only_sends_and_offers_video_too() -> None:
    offer = read_offer(OBS.encode())
    assert (offer.sends, offer.receives) == (True, False)
    assert [(section.kind, section.taken) for section in offer.sections] == [
        ("audio", True),
        ("video", False),
    ]
    answer = SessionDescription.parse(write_answer(offer, LOCAL))
    assert [media.port for media in answer.media] == [9, 0]
    assert answer.media[0].direction == "recvonly"


def test_the_answer_mirrors_the_offer() -> None:
    text = write_answer(read_offer(CHROME.encode()), LOCAL)
    answer = SessionDescription.parse(text)
    audio, channel = answer.media
    assert [media.rtp.muxId for media in answer.media] == ["0", "1"]
    assert answer.group[0].items == ["0", "1"]
    assert [(codec.payloadType, str(codec)) for codec in audio.rtp.codecs] == [(111, "opus/48000/2")]
    assert audio.rtp.codecs[0].parameters["useinbandfec"] == 1
    assert audio.direction == "sendrecv"
    assert audio.rtcp_mux
    assert audio.dtls is not None
    assert audio.dtls.role == "client"
    assert audio.ice_candidates[0].ip == "192.0.2.7"
    assert channel.sctp_port == 5000
    assert "max-message-size:16384" in text


def test_a_client_that_insists_on_its_role_gets_it() -> None:
    offer = read_offer(CHROME.replace("a=setup:actpass", "a=setup:active").encode())
    assert "a=setup:passive" in write_answer(offer, LOCAL)


def test_codecs_are_chosen_by_our_order() -> None:
    assert read_offer(CHROME.encode(), (CodecName.PCMU, CodecName.OPUS)).codec == Codec(CodecName.PCMU, 0)
    static = without(CHROME, "a=rtpmap", "a=fmtp", "a=rtcp-fb")
    assert read_offer(static).codec == Codec(CodecName.PCMU, 0)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (b"  \r\n ", HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (b"hello", HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (b"\xff\xfe", HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (b"v=0\r\nm=audio\r\n", HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (b"v=0\r\n" + b"a=x\r\n" * MAX_SDP_BYTES, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long"),
        (b"v=0\r\n", HTTPStatus.UNPROCESSABLE_ENTITY, "no_audio"),
        (CHROME.replace("m=audio", "m=video").encode(), HTTPStatus.UNPROCESSABLE_ENTITY, "no_audio"),
        (CHROME.replace("m=audio 9", "m=audio 0").encode(), HTTPStatus.UNPROCESSABLE_ENTITY, "no_audio"),
        (CHROME.replace("a=sendrecv", "a=inactive").encode(), HTTPStatus.UNPROCESSABLE_ENTITY, "inactive"),
        (without(CHROME, "a=rtcp-mux"), HTTPStatus.UNPROCESSABLE_ENTITY, "no_rtcp_mux"),
        (without(CHROME, "a=fingerprint"), HTTPStatus.UNPROCESSABLE_ENTITY, "no_dtls"),
        (CHROME.replace("sha-256", "md5").encode(), HTTPStatus.UNPROCESSABLE_ENTITY, "no_dtls"),
        (without(CHROME, "a=setup"), HTTPStatus.UNPROCESSABLE_ENTITY, "no_dtls"),
        (without(CHROME, "a=ice-pwd"), HTTPStatus.UNPROCESSABLE_ENTITY, "no_ice"),
        (without(CHROME, "a=group"), HTTPStatus.UNPROCESSABLE_ENTITY, "no_bundle"),
        (without(CHROME, "a=mid"), HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (CHROME.replace("a=mid:1", "a=mid:0").encode(), HTTPStatus.BAD_REQUEST, "malformed_sdp"),
        (
            CHROME.replace("SAVPF 111 63 0 8", "SAVPF 63").replace("opus/", "speex/").encode(),
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no_codec",
        ),
    ],
)
def test_offers_that_cannot_be_answered(body: bytes, status: int, kind: str) -> None:
    with pytest.raises(OfferError) as caught:
        read_offer(body)
    assert (caught.value.status, caught.value.kind) == (status, kind)


@settings(max_examples=150)
@given(st.integers(0, len(CHROME) - 1), st.integers(0, 40), st.binary(max_size=12))
def test_any_damage_is_read_or_refused(at: int, cut: int, junk: bytes) -> None:
    damaged = CHROME.encode()[:at] + junk + CHROME.encode()[at + cut :]
    with suppress(OfferError):
        write_answer(read_offer(damaged), LOCAL)


def test_candidates_that_are_of_no_use_are_skipped_and_the_rest_is_bounded() -> None:
    lines = [
        "a=candidate:1 1 udp 1 hidden.local 5000 typ host",
        "a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "a=candidate:1 2 udp 1 192.0.2.1 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "a=candidate:broken",
        *(f"a=candidate:1 1 udp 1 192.0.2.1 {port} typ host" for port in range(5000, 5100)),
    ]
    found = read_candidates("\r\n".join(lines))
    assert len(found) == MAX_CANDIDATES
    assert found[0].port == 5000


def test_fragments() -> None:
    fragment = read_fragment(
        b"a=ice-ufrag:abcd\r\na=ice-pwd:" + b"p" * 22 + b"\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        b"a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n"
    )
    assert (fragment.ufrag, fragment.password, len(fragment.candidates)) == ("abcd", "p" * 22, 1)
    written = write_fragment(read_offer(CHROME.encode()), LOCAL.ice)
    again = read_fragment(written.encode())
    assert (again.ufrag, again.candidates[0].port) == ("ours", 50_000)


@pytest.mark.parametrize("body", [b"", b"{}", b"a=ice-ufrag:x", b"a=ice-pwd:short"])
def test_broken_fragments(body: bytes) -> None:
    with pytest.raises(OfferError) as caught:
        read_fragment(body)
    assert caught.value.status == HTTPStatus.BAD_REQUEST
