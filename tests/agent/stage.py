"""A process with one call on it, on virtual time: what the tests of calls play on."""

from collections.abc import Callable, Coroutine
from typing import Any

from agent.agentfile.load import parse_agent
from agent.call import Call
from agent.chains import LLMChain, STTChain, TTSChain
from agent.events import CallEvent, CallListener
from agent.media import MediaConversation
from agent.records import CallRecord
from agent.services import CallServices
from agent.text import TextConversation
from agent.ticker import Ticker
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expectations
from agent.turns.machine import State
from tests import speech
from tests.agent.scripted import Observed, Phone, Relay, ScriptedLLM, ScriptedSTT, ScriptedTools, ScriptedTTS
from tests.virtual import run_virtually, virtual_clock

AGENT = """
name: Test desk
languages: [en, es]
greeting: {en: Hello there., es: Hola.}
instructions: You are the reception of a small clinic.
tools:
  - {kind: end_call, name: end_call}
  - {kind: transfer_call, name: transfer_call, targets: {desk: "+15550100"}}
  - {kind: webhook, name: book, description: Book a visit., url: "http://127.0.0.1:9/book",
     parameters: {type: object, properties: {day: {type: string}}}}
"""
GREETING = "Hello there."
LONG = "We are open from Monday to Friday, from eight in the morning to six in the evening."
QUESTION = speech.speech("What are your opening hours?")
SENTENCE = speech.speech("I would like to know whether you are open on the second Saturday in March.")
MONOLOGUE = SENTENCE * 12
"""A minute of speech without a pause."""
MUMBLE = speech.speech("mhm")
COUGH = speech.cough()


class Stage:
    """One process and one call."""

    media: MediaConversation
    text: TextConversation
    call: Call

    def __init__(self, agent: str = AGENT, **sections: Any) -> None:
        self.clock = virtual_clock()
        self.agent = parse_agent(agent, "agent.yaml")
        for name, changes in sections.items():
            section = getattr(self.agent, name).model_copy(update=changes)
            self.agent = self.agent.model_copy(update={name: section})
        self.stt, self.llm, self.tts = ScriptedSTT(), ScriptedLLM(), ScriptedTTS()
        self.tools = ScriptedTools(self.agent)
        self.ticker = Ticker(self.clock)
        self.observed = Observed()
        self.events: list[CallEvent] = []
        self.listener: CallListener = self.events.append
        self.ended: list[Call] = []
        self.services = CallServices(
            self.agent, self.clock, STTChain([self.stt], self.agent.limits),
            LLMChain([self.llm], self.agent.limits), TTSChain([self.tts], self.agent.limits), self.tools,
            self.ticker, Expectations(self.agent), Endpointer(self.agent.turns, ()), {}, self.observed,
        )  # fmt: skip

    # --- calls -------------------------------------------------------------------------------------

    def ring(self, language: str | None = None) -> Phone:
        """A media call begins; its greeting is on the way."""
        phone = self.phone = Phone(lambda: self.media, language)
        self.media = MediaConversation(phone, self.services, self.ended.append, self.listener)
        self.call = self.media.call
        phone.pick_up()
        return phone

    def connect(self, *, greeted: bool = False, language: str | None = None) -> Relay:
        """A text call begins."""
        relay = self.relay = Relay(language)
        self.text = TextConversation(relay, self.services, self.ended.append, self.listener, greeted=greeted)
        self.call = self.text.call
        return relay

    async def greet(self) -> Phone:
        """A media call whose greeting was heard to its end."""
        phone = self.ring()
        await self.until(State.SPEAKING)
        await self.until(State.IDLE)
        return phone

    async def ask(self, text: str = "what are your opening hours", pcm: bytes = QUESTION) -> None:
        """The caller asks, and the agent begins to answer."""
        self.stt.answers.append(text)
        self.phone.says(pcm)
        await self.until(State.HEARING)
        await self.until(State.SPEAKING)

    # --- waiting -----------------------------------------------------------------------------------

    async def wait(self, duration_ms: float) -> None:
        await self.clock.sleep(duration_ms)

    async def until(self, wanted: State | Callable[[], object], limit_ms: float = 60_000) -> None:
        """Go on until the call is in that state, or that is so."""
        holds = (lambda: self.state is wanted) if isinstance(wanted, State) else wanted
        end_ms = self.clock.now_ms() + limit_ms
        while not holds():
            assert self.clock.now_ms() < end_ms, f"never came: {wanted}; the call is {self.state}"
            await self.clock.sleep(1.0)

    # --- looking -----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.call.state

    @property
    def record(self) -> CallRecord:
        return self.call.record

    @property
    def history(self) -> list[tuple[str, str]]:
        """Who said what, as the model would be told it now."""
        messages = self.call.replies.history.messages("")[1:]
        return [(message.role.value, message.content) for message in messages]

    @property
    def kinds(self) -> list[str]:
        """What the agent said, by kind."""
        return [turn.kind for turn in self.record.turns]

    # --- the end -----------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Hang up if the call is still on; nothing of it may be left."""
        await self.call.hung_up("caller_hung_up")
        await self.wait(0)
        self.check_nothing_is_left()
        await self.tools.close()
        self.ticker.close()

    def check_nothing_is_left(self) -> None:
        """After the end of a call: no timer, no member of the ticker, no stream or request; told once."""
        assert self.state is State.ENDED
        assert self.record.state == "ended"
        assert self.record.ended_unix_s is not None
        assert self.ended == [self.call]
        assert self.observed.ended == [self.record]
        assert not self.call.scope._timers
        assert not self.call.scope._tasks
        assert not any(self.ticker._phases)
        assert self.stt.running == self.llm.running == self.tts.running == 0


Story = Callable[[Stage], Coroutine[Any, Any, None]]


def play(story: Story, agent: str = AGENT, **sections: Any) -> Stage:
    """Run a call on virtual time and check that nothing of it is left. `sections` change the agent file."""

    async def whole() -> Stage:
        stage = Stage(agent, **sections)
        await story(stage)
        await stage.finish()
        return stage

    return run_virtually(whole)


def press(stage: Stage, digits: str) -> None:
    """The caller presses keys."""
    for digit in digits:
        (stage.media if hasattr(stage, "media") else stage.text).dtmf(digit)


async def bring_to(stage: Stage, state: State, at_ms: float = 0.0) -> None:
    """A call in that state, at that time of it if that is still to come."""
    phone = await stage.greet()

    async def until_then(lead_ms: float) -> None:
        await stage.wait(max(at_ms - lead_ms - phone.now_ms, 0.0))

    if state is State.IDLE:
        # So that no reprompt comes in between.
        while at_ms - phone.now_ms > 7_000:
            await stage.ask()
            await stage.until(State.IDLE)
        await until_then(0.0)
    elif state is State.HEARING:
        stage.media.typed("hello")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        phone.says(MONOLOGUE)
        await stage.until(State.HEARING)
        await until_then(0.0)
    elif state is State.REPLYING:
        stage.llm.says([25_000.0, "Late."])
        stage.stt.answers.append("what are your opening hours")
        phone.says(QUESTION)
        await stage.until(State.REPLYING)
        await until_then(0.0)
    else:
        stage.llm.says(LONG * 6)
        await stage.ask()
        if state is State.YIELDED:
            await until_then(1_000)
            phone.says(MONOLOGUE)
            await stage.until(State.YIELDED)
        await until_then(0.0)
    assert stage.state is state
