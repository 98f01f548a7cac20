"""The names under which a platform knows a call: made up anew for every synthetic call."""

import secrets
import uuid
from dataclasses import dataclass

CALLER_NUMBER = "+15005550001"
CALLED_NUMBER = "+15005550006"


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """Ids of one call, in the platform's own shapes."""

    call_id: str
    """CallSid, or call_control_id."""
    account_id: str
    """AccountSid, or Telnyx's user id."""
    stream_id: str
    """streamSid, or Telnyx's stream id."""
    session_id: str
    """Relay session id, or Telnyx's call session id."""
    caller: str = CALLER_NUMBER
    called: str = CALLED_NUMBER


def twilio_identity() -> CallIdentity:
    """Two letters and 32 hexadecimal digits each."""
    return CallIdentity(
        call_id=f"CA{secrets.token_hex(16)}",
        account_id="AC" + "0" * 31 + "1",
        stream_id=f"MZ{secrets.token_hex(16)}",
        session_id=f"VX{secrets.token_hex(16)}",
    )


def telnyx_identity() -> CallIdentity:
    """UUIDs, and a call control id with the `v3:` prefix (its colon has to be escaped in paths)."""
    return CallIdentity(
        call_id=f"v3:{secrets.token_urlsafe(32)}",
        account_id="00000000-0000-4000-8000-0000000000d1",
        stream_id=str(uuid.uuid4()),
        session_id=str(uuid.uuid4()),
    )
