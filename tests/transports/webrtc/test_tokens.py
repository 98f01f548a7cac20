"""Session tokens, ours and those of an embedding site."""

from typing import Any

import jwt
import pytest

from agent.errors import TicketError
from tests.transports.webrtc.fakes import SECRET
from transports.webrtc.tokens import AUDIENCE, MAX_LIFE_S, TOKEN_S, SessionTokens

NOW_S = 1_800_000_000.0


class SetClock:
    """Tells the time that the test sets."""

    unix = NOW_S

    def unix_s(self) -> float:
        return self.unix


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def tokens(clock: SetClock) -> SessionTokens:
    return SessionTokens(SECRET, clock)  # type: ignore[arg-type]  # no more of a clock is used


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    claims = {"aud": AUDIENCE, "iat": NOW_S, "exp": NOW_S + 60, "jti": "one", **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm)


def test_a_minted_token_works_once(tokens: SessionTokens) -> None:
    token = tokens.mint()
    tokens.redeem(token)
    with pytest.raises(TicketError, match="used before"):
        tokens.redeem(token)


def test_a_minted_token_expires(tokens: SessionTokens, clock: SetClock) -> None:
    token = tokens.mint()
    clock.unix += TOKEN_S + 11
    with pytest.raises(TicketError, match="expired"):
        tokens.redeem(token)


def test_a_sites_own_token_names_the_caller(tokens: SessionTokens) -> None:
    assert tokens.redeem(signed(sub="ada")).caller == "ada"


@pytest.mark.parametrize(
    "token",
    [
        "", "x.y.z", "x" * 3000,
        signed("another secret of thirty-two chars"),
        signed(SECRET * 2, "HS512"),
        jwt.encode({"aud": AUDIENCE, "iat": NOW_S, "exp": NOW_S + 60, "jti": "1"}, "", "none"),
        signed(aud="somebody-else"), signed(aud=None), signed(exp=None), signed(jti=None), signed(iat=None),
        signed(exp=NOW_S - 11), signed(exp=NOW_S + MAX_LIFE_S + 1), signed(iat=NOW_S + 60, exp=NOW_S + 90),
        signed(exp=[NOW_S]),
    ],
)  # fmt: skip
def test_forged_expired_and_foreign_tokens_are_refused(tokens: SessionTokens, token: str) -> None:
    with pytest.raises(TicketError):
        tokens.redeem(token)


def test_used_tokens_are_remembered_until_they_cannot_be_valid(
    tokens: SessionTokens, clock: SetClock
) -> None:
    for number in range(50):
        tokens.redeem(signed(jti=str(number)))
    clock.unix += 2 * MAX_LIFE_S
    tokens.redeem(signed(jti="late", iat=clock.unix, exp=clock.unix + 60))
    assert len(tokens._used) == 1
