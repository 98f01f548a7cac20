"""What a server under load is given: stubs or simulated vendors, once or twice, and how they sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.audio.formats import linear
from agent.clock import Clock
from loadtest.bulk.first_word import Expected
from loadtest.bulk.payload import payload_for
from loadtest.bulk.speech import INTERRUPTION, PCMU, SENTENCES
from loadtest.callers.codec import CALLER_RATE_HZ
from loadtest.callers.local_server import free_ports
from loadtest.scenarios.child import RUN_PARLEY, Child
from loadtest.scenarios.schema import Profile, Providers
from loadtest.simulators.cartesia_voice import tones
from loadtest.simulators.openai_chunks import forty_tokens
from loadtest.stubs.script import StubScript

GREETING = "Hello, this is the clinic, how can I help you?"
FAST_DELAYS = ("openai.first_token=groq.gpt-oss-120b.first_token", "openai.inter_token=groq.inter_token")
"""gpt-oss-120b at Groq: 98 ms to the first token, p95 217 (sheet `others.md`), the quickest hosted model that
has a figure. gpt-4.1, the default, takes 536 and 1,771 ms: beyond the 1,200 ms of a whole turn by itself."""
_LINEAR = payload_for(linear(CALLER_RATE_HZ))
_KEY = "load-test"
"""Simulators take any key."""
_WITH_SPARE = ", llm_first_token_ms: 2000, tts_first_audio_ms: 1000"
"""Where there is something to turn to: a first-token time-out near 1.5 to 2 s (sheet `openai.md` 12), and for
speech three times the p99 of the slower vendors. The defaults, 5 and 3 s, are for those who have no spare: a
caller gives up after 5 s."""
_AGENT = """
name: Load test
languages: [en-US]
greeting: {greeting}
instructions: You are the reception of a small clinic.
unknown: I do not know that.
knowledge:
  - id: hours
    ask: [what are your opening hours]
    answer: From eight to six.
turns: {{reprompt_ms: 60000}}
limits: {{max_call_s: 86400{limits}}}
providers:
  stt: [{stt}]
  llm: [{llm}]
  tts: [{tts}]
"""


@dataclass(frozen=True, slots=True)
class Services:
    """What a profile comes to."""

    agent: str
    """The agent file."""
    environ: Mapping[str, str]
    """For the server."""
    primary: Child | None
    """What can be killed and stalled; None where everything is inside the server."""
    spare: Child | None
    greetings: tuple[Expected, ...]
    """How the greeting must begin."""
    replies: tuple[Expected, ...]
    reply_text: str
    """What replies say."""
    pace_ms: float | None
    """What the services were told to take for a turn; None where it is drawn from a profile."""

    @property
    def children(self) -> list[Child]:
        """The processes, in the order of the chains."""
        return [child for child in (self.primary, self.spare) if child is not None]


def stub_services(clock: Clock, speech: Path, *, inprocess: bool, spare: bool) -> Services:
    """Stubs that speak the mu-law audio in the file `speech`."""
    script = StubScript()
    children: list[Child] = []
    options: list[str] = []
    if inprocess:
        options.append(f'{{provider: stub, inprocess: true, speech: "{speech}"}}')
    else:
        for name in ("the stub providers", "the spare stub providers")[: 2 if spare else 1]:
            (port,) = free_ports(1)
            arguments = ["-m", "loadtest.stubs.server", "--port", str(port), "--set", f"speech={speech}"]
            children.append(Child(name, arguments, [port], clock))
            options.append(f'{{provider: stub, address: "127.0.0.1:{port}"}}')
    chain = ", ".join(options)
    begins = (Expected.of(PCMU.decode(speech.read_bytes())),)
    return Services(
        _AGENT.format(
            greeting=GREETING, stt=chain, llm=chain, tts=chain, limits=_WITH_SPARE if spare else ""
        ),
        {},
        *_two(children),
        begins,
        begins,
        script.reply,
        script.first_sentence_ms,
    )


async def vendor_services(clock: Clock, *, spare: bool, delays: Sequence[str] = ()) -> Services:
    """Simulators of Deepgram, OpenAI and Cartesia at their published speeds, but for `delays`."""
    children: list[Child] = []
    chains: dict[str, list[str]] = {"stt": [], "llm": [], "tts": []}
    for name in ("the simulated vendors", "the spare simulated vendors")[: 2 if spare else 1]:
        deepgram, openai, cartesia = ports = free_ports(3)
        sentences = [part for text in (*SENTENCES, INTERRUPTION) for part in ("--sentence", text)]
        arguments = [
            *(
                "-c",
                RUN_PARLEY,
                "simulate",
                f"deepgram:{deepgram}",
                f"openai:{openai}",
                f"cartesia:{cartesia}",
            ),
            *("--short", *sentences, *(part for each in delays for part in ("--delay", each))),
        ]
        children.append(Child(name, arguments, ports, clock))
        chains["stt"].append(f'{{provider: deepgram, base_url: "ws://127.0.0.1:{deepgram}"}}')
        chains["llm"].append(
            f'{{provider: openai, model: gpt-4.1, base_url: "http://127.0.0.1:{openai}/v1"}}'
        )
        chains["tts"].append(f'{{provider: cartesia, base_url: "ws://127.0.0.1:{cartesia}"}}')
    reply = forty_tokens({}).text
    return Services(
        _AGENT.format(
            greeting=GREETING,
            limits=_WITH_SPARE if spare else "",
            **{kind: ", ".join(each) for kind, each in chains.items()},
        ),
        {"DEEPGRAM_API_KEY": _KEY, "OPENAI_API_KEY": _KEY, "CARTESIA_API_KEY": _KEY},
        *_two(children),
        (await _tones(GREETING),),
        (await _tones(reply),),
        reply,
        None,
    )


async def make_services(wanted: Providers, clock: Clock, speech: Path) -> Services:
    """The services of a scenario, not started. `speech` is a file of mu-law audio for the stubs."""
    if wanted.profile in (Profile.VENDORS, Profile.FAST_VENDORS):
        fast = FAST_DELAYS if wanted.profile is Profile.FAST_VENDORS else ()
        return await vendor_services(clock, spare=wanted.spare, delays=(*fast, *wanted.delays))
    return stub_services(clock, speech, inprocess=wanted.profile is Profile.INPROCESS, spare=wanted.spare)


async def _tones(text: str) -> Expected:
    spoken = await tones(text, "en", linear(CALLER_RATE_HZ))
    return Expected.of(_LINEAR.decode(spoken.audio))


def _two(children: list[Child]) -> tuple[Child | None, Child | None]:
    primary, spare = [*children, None, None][:2]
    return primary, spare
