"""The transport as the server loads it."""

import subprocess
import sys

from agent import plugins
from agent.clock import LoopClock
from agent.plugins import TransportContext
from agent.settings import Settings
from agent.ticker import Ticker
from tests.transports.fakes import FakeHost
from tests.transports.twilio.fakes import agent_file
from transports import twilio
from transports.twilio import Twilio

IMPORTS = """
import sys
import transports.twilio
print(*[name for name in ("twilio.rest", "requests", "transports.twilio.rest") if name in sys.modules])
"""


async def test_its_routes() -> None:
    transport = Twilio(
        TransportContext(FakeHost(), Settings(), agent_file(), LoopClock(), Ticker(LoopClock()))
    )
    assert transport.name == "twilio"
    assert [(route.method, route.path) for route in transport.routes()] == [
        ("POST", "/twilio/voice"),
        ("POST", "/twilio/status"),
        ("POST", "/twilio/action"),
        ("GET", "/twilio/relay"),
        ("GET", "/twilio/media"),
    ]
    await transport.close()
    await transport.close()


def test_it_is_found_by_its_entry_point_and_exports_nothing_else() -> None:
    assert plugins.load(plugins.TRANSPORTS, "twilio") is Twilio
    assert twilio.__all__ == ["Twilio"]


def test_without_credentials_the_rest_client_is_not_imported() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=30
    )
    assert found.stdout.split() == []
