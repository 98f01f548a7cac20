"""Session tokens: short-lived signed JWTs that start one call each.

The server mints them for its own page; the backend of a site that embeds the page signs its own by the same
secret (`PARLEY_WEBRTC_SECRET`, HS256): claims `aud` = `parley-webrtc`, `iat`, `exp` at most five minutes
later and a unique `jti`; `sub`, if present, is the caller's name in the records.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

import jwt

from agent.clock import Clock
from agent.errors import TicketError

ALGORITHM = "HS256"
AUDIENCE = "parley-webrtc"
TOKEN_S = 60
"""From the page's click to its offer: a permission prompt may lie between."""
MAX_LIFE_S = 300
"""Longest validity that is accepted: used tokens are remembered for so long."""
LEEWAY_S = 10
"""Two servers' clocks."""
MAX_USED = 100_000
"""Used tokens remembered; beyond it new ones are refused rather than old ones forgotten."""
_MAX_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token allows: one call."""

    caller: str = ""


class SessionTokens:
    """Mints and verifies. Single use."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._used: OrderedDict[str, float] = OrderedDict()

    def mint(self) -> str:
        """A fresh token, good for `TOKEN_S`."""
        now_s = int(self._clock.unix_s())
        claims = {"aud": AUDIENCE, "iat": now_s, "exp": now_s + TOKEN_S, "jti": secrets.token_urlsafe(16)}
        return jwt.encode(claims, self._secret, ALGORITHM)

    def redeem(self, token: str) -> Grant:
        """Use a token up. Raises `TicketError`: forged, expired, used or not meant for us."""
        if len(token) > _MAX_CHARS:
            raise TicketError("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                # Times are checked below, by our clock.
                options={"require": ["exp", "iat", "jti", "aud"], "verify_exp": False, "verify_iat": False,
                         "verify_nbf": False},
            )  # fmt: skip
            issued_s, expires_s = float(claims["iat"]), float(claims["exp"])
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise TicketError(f"the token is not valid: {error}") from None
        now_s = self._clock.unix_s()
        if not now_s - LEEWAY_S < expires_s:
            raise TicketError("the token has expired")
        if not (issued_s - LEEWAY_S < now_s and expires_s - issued_s <= MAX_LIFE_S):
            raise TicketError(f"the token is valid for over {MAX_LIFE_S} s, or from a future time on")
        self._use(str(claims["jti"])[:200], expires_s, now_s)
        return Grant(str(claims.get("sub", ""))[:100])

    def _use(self, token_id: str, expires_s: float, now_s: float) -> None:
        if token_id in self._used:
            raise TicketError("the token was used before")
        while self._used and next(iter(self._used.values())) < now_s - LEEWAY_S - MAX_LIFE_S:
            self._used.popitem(last=False)
        if len(self._used) >= MAX_USED:
            raise TicketError("too many tokens were used in the last minutes")
        self._used[token_id] = expires_s
