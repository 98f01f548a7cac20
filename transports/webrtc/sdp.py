"""SDP offers in, answers out (RFC 8866, 8829, 8839, 9725). Pure.

Reading is aiortc's parser; what it finds is checked here, since it takes anything that looks like SDP and
fails on the rest in many ways.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from aioice import Candidate
from aiortc import RTCDtlsFingerprint
from aiortc.sdp import MediaDescription, SessionDescription

from agent.errors import ParleyError
from transports.webrtc.codecs import CLOCK_HZ, Codec, CodecName
from transports.webrtc.limits import MAX_MESSAGE_BYTES, MAX_SDP_BYTES

MAX_CANDIDATES = 40
"""Of one peer: several interfaces, IPv4 and IPv6, TCP and relayed, and room. More are skipped."""
ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}")
_DIGESTS = ("sha-256", "sha-384", "sha-512")


class OfferError(ParleyError):
    """An offer or fragment that cannot be answered; `status` is the HTTP answer to it."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        """Label of the bad-request counter."""
        self.detail = detail


@dataclass(frozen=True, slots=True)
class IceParameters:
    """One side's ICE credentials and candidates."""

    ufrag: str
    password: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A media section of an offer, as it must be mirrored in the answer."""

    kind: str
    profile: str
    formats: tuple[str, ...]
    mid: str
    taken: bool
    """False: answered with port 0."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a browser offers, checked."""

    sections: tuple[Section, ...]
    codec: Codec
    sends: bool
    """The browser sends audio."""
    receives: bool
    ice: IceParameters
    fingerprints: tuple[RTCDtlsFingerprint, ...]
    dtls_active: bool
    """The browser insists on being the DTLS client."""
    sctp_port: int | None
    """For the data channel, if there is one."""
    max_message_bytes: int = 65_536
    """Longest data-channel message that the browser takes (RFC 8841, 6.1: 64 kB where it does not say)."""


@dataclass(frozen=True, slots=True)
class Local:
    """Our side, for the answer."""

    ice: IceParameters
    fingerprints: tuple[RTCDtlsFingerprint, ...]
    ssrc: int
    cname: str
    session: int = 0
    """Number in the origin line."""


def read_offer(body: bytes, allowed: tuple[CodecName, ...] = tuple(CodecName)) -> Offer:
    """Raises `OfferError`: 413 too long, 400 no SDP, 422 nothing that we could do with it."""
    description = _parse(body)
    offered = _offered(description, body.decode())
    audio = next((media for media in offered if _usable(media, "audio")), None)
    if audio is None:
        raise _unacceptable("no_audio", "the offer has no audio section: this is a voice call")
    codec = _choose(audio, allowed)
    direction = audio.direction or "sendrecv"
    if direction == "inactive":
        raise _unacceptable("inactive", "the audio section is inactive: offer sendrecv")
    channel = next((media for media in offered if _usable(media, "application")), None)
    caps = channel.sctpCapabilities if channel is not None else None
    taken = [media for media in (audio, channel) if media is not None]
    mids = [media.rtp.muxId for media in description.media]
    if len(set(mids)) != len(mids) or not all(_TOKEN.fullmatch(mid or "") for mid in mids):
        raise malformed("every media section needs an a=mid of its own")
    _check_bundle(description, taken)
    if not audio.rtcp_mux:
        raise _unacceptable("no_rtcp_mux", "the audio section needs a=rtcp-mux")
    # A section on port 0 has its transport described by the one that it is bundled with (RFC 8843, 7.1.3).
    carrier = next(media for media in offered if media.port) if audio.port == 0 else audio
    dtls = carrier.dtls
    if dtls is None or not any(mark.algorithm.lower() in _DIGESTS for mark in dtls.fingerprints):
        raise _unacceptable(
            "no_dtls", "the audio section needs a=setup and an a=fingerprint of sha-256 or better"
        )
    return Offer(
        sections=tuple(_section(media, any(media is one for one in taken)) for media in description.media),
        codec=codec,
        sends=direction != "recvonly",
        receives=direction != "sendonly",
        ice=_ice(carrier, read_candidates(body.decode())),
        fingerprints=tuple(dtls.fingerprints),
        dtls_active=dtls.role == "client",
        sctp_port=channel.sctp_port or 5000 if channel is not None else None,
        max_message_bytes=caps.maxMessageSize if caps is not None else 65_536,
    )


def write_answer(offer: Offer, local: Local) -> str:
    """The answer to `offer`."""
    bundle = " ".join(section.mid for section in offer.sections if section.taken)
    lines = [
        "v=0",
        f"o=- {local.session} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {bundle}",
        "a=msid-semantic: WMS *",
    ]
    for section in offer.sections:
        if not section.taken:
            lines += [f"m={section.kind} 0 {section.profile} {' '.join(section.formats)}",
                      "c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive"]  # fmt: skip
        elif section.kind == "audio":
            lines += _audio_lines(offer, section, local)
        else:
            lines += [f"m=application 9 {section.profile} {' '.join(section.formats)}",
                      "c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", *_transport_lines(offer, local),
                      "a=sctp-port:5000", f"a=max-message-size:{MAX_MESSAGE_BYTES}"]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def read_candidates(text: str) -> tuple[Candidate, ...]:
    """The UDP candidates with an address in some SDP. All sections share one transport.

    Names under .local are hidden addresses of the browser's machine (mDNS). They are not looked up: the
    browser checks our addresses first, and its own is learnt from that.
    """
    found: dict[tuple[str, int], Candidate] = {}
    for line in text.splitlines():
        if not line.startswith("a=candidate:"):
            continue
        try:
            candidate = Candidate.from_sdp(line.partition(":")[2])
            ip_address(candidate.host)
        except (ValueError, IndexError):
            continue
        if candidate.transport.lower() == "udp" and candidate.component == 1 and 0 < candidate.port < 65536:
            found.setdefault((candidate.host, candidate.port), candidate)
        if len(found) == MAX_CANDIDATES:
            break
    return tuple(found.values())


def read_text(body: bytes) -> str:
    """Raises `OfferError` for what is too long or no text."""
    if len(body) > MAX_SDP_BYTES:
        detail = f"at most {MAX_SDP_BYTES} bytes of SDP"
        raise OfferError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long", detail)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise malformed("the body is not UTF-8") from None


def malformed(detail: str) -> OfferError:
    """400."""
    return OfferError(HTTPStatus.BAD_REQUEST, "malformed_sdp", detail)


# --- reading ---------------------------------------------------------------------------------------


def _parse(body: bytes) -> SessionDescription:
    text = read_text(body)
    if not text.strip():
        raise malformed("the body is empty: expected an SDP offer")
    # aiortc's parser fails on one odd candidate; here it is only skipped.
    plain = [line for line in text.splitlines() if not line.startswith("a=candidate:")]
    if not plain or not plain[0].startswith("v="):
        raise malformed("the body does not begin with v=: expected an SDP offer")
    try:
        description = SessionDescription.parse("\r\n".join(plain) + "\r\n")
    except (
        AssertionError, AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError,
    ) as error:  # fmt: skip  # each of these ends the parser on some malformed line
        raise malformed(f"the SDP cannot be read: {type(error).__name__} {error}"[:200]) from None
    return description


def _offered(description: SessionDescription, text: str) -> list[MediaDescription]:
    """The sections that are not refused: port 0 means that, but for `a=bundle-only` (RFC 8843, 6).

    Firefox offers with `max-bundle` all sections but the first in this way. Such a section has no port to
    fall back to: it counts only within the bundle of a section that has one.
    """
    only: list[bool] = []
    for line in text.splitlines():
        if line.startswith("m="):
            only.append(False)
        elif only and line.rstrip() == "a=bundle-only":
            only[-1] = True
    with_port = {media.rtp.muxId for media in description.media if media.port}
    bundled = {
        item
        for group in description.group
        if group.semantic == "BUNDLE" and with_port.intersection(map(str, group.items))
        for item in group.items
    }
    return [
        media
        for media, bundle_only in zip(description.media, only, strict=False)
        if media.port or (bundle_only and media.rtp.muxId in bundled)
    ]


def _usable(media: MediaDescription, kind: str) -> bool:
    if media.kind != kind:
        return False
    if kind == "application":
        return "DTLS/SCTP" in media.profile and media.fmt == ["webrtc-datachannel"]
    return "RTP/SAVP" in media.profile


def _choose(audio: MediaDescription, allowed: tuple[CodecName, ...]) -> Codec:
    """The best codec by our order; payload types 0 and 8 need no rtpmap (RFC 3551)."""
    offered = {
        (codec.name.lower(), codec.clockRate): codec.payloadType for codec in reversed(audio.rtp.codecs)
    }
    for number, name in ((0, CodecName.PCMU), (8, CodecName.PCMA)):
        if number in audio.fmt:
            offered.setdefault((name.lower(), 8000), number)
    for name in allowed:
        payload_type = offered.get((name.lower(), CLOCK_HZ[name]))
        if payload_type is not None and payload_type in audio.fmt:
            return Codec(name, payload_type)
    names = ", ".join(sorted({name for name, _ in offered})) or "none"
    raise _unacceptable("no_codec", f"offer one of {', '.join(allowed)}; the offer has {names}"[:300])


def _check_bundle(description: SessionDescription, taken: list[MediaDescription]) -> None:
    if len(taken) < 2:
        return
    bundled = {item for group in description.group if group.semantic == "BUNDLE" for item in group.items}
    if not all(media.rtp.muxId in bundled for media in taken):
        raise _unacceptable("no_bundle", "audio and data channel must be in one a=group:BUNDLE")


def _ice(media: MediaDescription, candidates: tuple[Candidate, ...]) -> IceParameters:
    ufrag = password = ""
    if media.ice is not None:
        ufrag, password = media.ice.usernameFragment or "", media.ice.password or ""
    if not ICE_UFRAG.fullmatch(ufrag) or not ICE_PWD.fullmatch(password):
        raise _unacceptable("no_ice", "the audio section needs a=ice-ufrag and a=ice-pwd")
    return IceParameters(ufrag, password, candidates)


def _section(media: MediaDescription, taken: bool) -> Section:
    formats = tuple(str(name) for name in media.fmt)
    return Section(media.kind, media.profile, formats, media.rtp.muxId, taken)


def _unacceptable(kind: str, detail: str) -> OfferError:
    return OfferError(HTTPStatus.UNPROCESSABLE_ENTITY, kind, detail)


# --- writing ---------------------------------------------------------------------------------------


def _audio_lines(offer: Offer, section: Section, local: Local) -> list[str]:
    codec = offer.codec
    number = codec.payload_type
    direction = {(True, True): "sendrecv", (True, False): "recvonly"}.get(
        (offer.sends, offer.receives), "sendonly"
    )
    lines = [
        f"m=audio 9 {section.profile} {number}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        f"a={direction}",
        "a=rtcp-mux",
        f"a=msid:parley {local.cname}",
    ]
    if codec.name is CodecName.OPUS:
        # What we like to receive (RFC 7587, 6.1): copies against loss, and nothing during silence.
        lines += [f"a=rtpmap:{number} opus/48000/2",
                  f"a=fmtp:{number} minptime=10;stereo=0;usedtx=1;useinbandfec=1"]  # fmt: skip
    else:
        lines.append(f"a=rtpmap:{number} {codec.name}/8000")
    lines += ["a=ptime:20", f"a=ssrc:{local.ssrc} cname:{local.cname}", *_transport_lines(offer, local)]
    lines += [f"a=candidate:{candidate.to_sdp()}" for candidate in local.ice.candidates]
    return [*lines, "a=end-of-candidates"]


def _transport_lines(offer: Offer, local: Local) -> list[str]:
    return [
        f"a=ice-ufrag:{local.ice.ufrag}",
        f"a=ice-pwd:{local.ice.password}",
        *(f"a=fingerprint:{mark.algorithm} {mark.value}" for mark in local.fingerprints),
        f"a=setup:{'passive' if offer.dtls_active else 'active'}",
    ]
