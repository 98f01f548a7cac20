"""A ConversationRelay call whose socket drops: saved by the action webhook, and it knows what was said."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.inside import Inside, inside
from tests.transports.twilio.fakes import ACCOUNT, CALL, PUBLIC, TOKEN, signed
from tests.transports.twilio.phone import Phone

pytestmark = pytest.mark.e2e
SECRETS = {"TWILIO_AUTH_TOKEN": TOKEN}


class Twilio:
    """Twilio's side of one call: signed webhooks, signed sockets."""

    def __init__(self, served: Inside) -> None:
        self.served = served
        self.parameters: dict[str, str] = {}
        self.greeting: str | None = None

    async def webhook(self, path: str, **fields: str) -> ET.Element:
        fields = {"CallSid": CALL, "AccountSid": ACCOUNT, **fields}
        async with self.served.client.post(
            self.served.url + path, data=fields, headers=signed(PUBLIC + path, fields)
        ) as answer:
            assert answer.status == 200
            return ET.fromstring(await answer.text())  # our own answer

    def connected(self, markup: ET.Element) -> None:
        relay = markup.find("Connect/ConversationRelay")
        assert relay is not None
        assert relay.get("url") == "wss://voice.example.test/twilio/relay"
        self.greeting = relay.get("welcomeGreeting")
        self.parameters = {
            str(each.get("name")): str(each.get("value")) for each in relay.findall("Parameter")
        }

    async def ring(self) -> None:
        self.connected(await self.webhook("/twilio/voice", CallStatus="ringing"))

    async def dial(self) -> Phone:
        url = self.served.ws + "/twilio/relay"
        phone = await Phone.dial(self.served.client, url, signed("wss://voice.example.test/twilio/relay"))
        await phone.send(
            {"type": "setup", "sessionId": "VX1", "accountSid": ACCOUNT, "callSid": CALL,
             "from": "+15005550001", "to": "+15005550006", "direction": "inbound",
             "customParameters": self.parameters}
        )  # fmt: skip
        if self.greeting:
            await play(phone, self.greeting)
        return phone

    async def drop(self) -> None:
        """A socket that breaks as soon as the call is on."""
        phone = await self.dial()
        await self.served.live(CALL)
        await phone.vanish()

    async def save(self) -> ET.Element:
        """What Twilio asks after a socket that broke."""
        return await self.webhook(
            "/twilio/action", CallStatus="in-progress", SessionId="VX1", SessionStatus="failed",
            ErrorCode="64105", ErrorMessage="WebSocket ended",
        )  # fmt: skip


async def play(phone: Phone, text: str) -> None:
    """What Twilio tells of a sentence that the caller heard to its end."""
    for name, value in (("agentSpeaking", "on"), ("tokensPlayed", text), ("agentSpeaking", "off")):
        await phone.send({"type": "info", "name": name, "value": value})


async def ask(phone: Phone, text: str) -> str:
    """Say something, and hear the answer out. Returns its text."""
    await phone.send({"type": "prompt", "voicePrompt": text, "lang": "en-US", "last": True})
    words = ""
    while True:
        message = await phone.receive()
        assert message["type"] == "text"
        words += str(message["token"])
        if message["last"]:
            await play(phone, words)
            return words


async def test_the_conversation_goes_on_over_a_new_socket(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS, public_url=PUBLIC) as served:
        twilio = Twilio(served)
        await twilio.ring()
        assert twilio.greeting
        first_ticket = twilio.parameters["ticket"]
        phone = await twilio.dial()
        assert await ask(phone, "When are you open?") == "From eight to six."
        call_id = (await served.call(CALL))["call_id"]

        await phone.vanish()
        twilio.connected(await twilio.save())
        assert not twilio.greeting, "a caller is greeted once"
        assert twilio.parameters["ticket"] != first_ticket
        again = await twilio.dial()
        assert await ask(again, "And on Sunday?") == "From eight to six."

        turns = [turn for turn in await served.turns(CALL, 2) if turn["caller"]]
        assert [turn["caller"] for turn in turns] == ["When are you open?", "And on Sunday?"]
        assert (await served.call(CALL))["call_id"] == call_id
        assert served.taken == 1
        await again.socket.close(code=1000)
        assert (await served.ended(CALL))["cause"] == "caller_hung_up"
        await served.quiet()


async def test_even_a_full_server_saves_its_own_call(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS, public_url=PUBLIC, max_calls=1) as served:
        twilio = Twilio(served)
        await twilio.ring()
        await twilio.drop()
        twilio.connected(await twilio.save())
        again = await twilio.dial()
        assert await ask(again, "Still there?") == "From eight to six."
        await again.socket.close(code=1000)
        await served.quiet()


async def test_a_crash_loop_does_not_hold_the_caller(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS, public_url=PUBLIC) as served:
        twilio = Twilio(served)
        await twilio.ring()
        for _ in range(3):
            await twilio.drop()
            answer = await twilio.save()
            if answer.find("Hangup") is not None:
                break
            twilio.connected(answer)
        assert answer.find("Hangup") is not None
        assert (await served.ended(CALL))["cause"] == "line_lost"
        await served.quiet()


async def test_a_reused_ticket_opens_no_socket_and_the_call_stays(tmp_path: Path) -> None:
    async with inside(tmp_path, SECRETS, public_url=PUBLIC) as served:
        twilio = Twilio(served)
        await twilio.ring()
        phone = await twilio.dial()
        thief = await twilio.dial()
        assert await thief.closed() == 1008
        assert await ask(phone, "Hello?") == "From eight to six."
        assert await served.refused("twilio-relay", "bad_ticket") == 1
        await phone.socket.close(code=1000)
        await served.ended(CALL)


async def test_a_call_that_nobody_saves_ends_within_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.call.LOST_MS", 200.0)
    async with inside(tmp_path, SECRETS, public_url=PUBLIC) as served:
        twilio = Twilio(served)
        await twilio.ring()
        await twilio.drop()
        assert (await served.ended(CALL))["cause"] == "line_lost"
        await served.quiet()
