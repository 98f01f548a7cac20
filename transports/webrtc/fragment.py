"""The fragments of SDP that trickle ICE and ICE restarts go by (RFC 8840, section 9; RFC 9725, 4.3). Pure."""

from dataclasses import dataclass

from aioice import Candidate

from transports.webrtc.sdp import (
    ICE_PWD,
    ICE_UFRAG,
    IceParameters,
    Offer,
    malformed,
    read_candidates,
    read_text,
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a PATCH brings: more candidates, or the credentials of an ICE restart."""

    ufrag: str | None
    password: str | None
    candidates: tuple[Candidate, ...]


def read_fragment(body: bytes) -> Fragment:
    """`application/trickle-ice-sdpfrag` (RFC 8840, 9). Raises `OfferError`: 413, 400."""
    text = read_text(body)
    ufrag = password = None
    lines = [line.strip().partition(":")[::2] for line in text.splitlines()]
    if not any(name.startswith(("a=", "m=")) for name, _ in lines):
        raise malformed("the body is no SDP fragment")
    for name, value in lines:
        if name == "a=ice-ufrag":
            ufrag = ufrag or value
        elif name == "a=ice-pwd":
            password = password or value
    if ufrag is not None and not ICE_UFRAG.fullmatch(ufrag):
        raise malformed("a=ice-ufrag is 4 to 256 letters, digits, + or /")
    if password is not None and not ICE_PWD.fullmatch(password):
        raise malformed("a=ice-pwd is 22 to 256 letters, digits, + or /")
    return Fragment(ufrag, password, read_candidates(text))


def write_fragment(offer: Offer, ice: IceParameters) -> str:
    """Our new credentials and candidates after an ICE restart (RFC 9725, 4.3.3)."""
    section = next(section for section in offer.sections if section.taken)
    lines = [
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.password}",
        f"m={section.kind} 9 {section.profile} 0",
        f"a=mid:{section.mid}",
        *(f"a=candidate:{candidate.to_sdp()}" for candidate in ice.candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"
