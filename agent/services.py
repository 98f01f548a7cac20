"""What all calls of a process share."""

from dataclasses import dataclass

from agent.agentfile.schema import AgentFile
from agent.chains import LLMChain, STTChain, TTSChain
from agent.clock import Clock
from agent.coarse_timers import Timers
from agent.records import CallObserver
from agent.stored import StoredReplies
from agent.ticker import Ticker
from agent.tools import ToolRunner
from agent.turns.endpointing import Endpointer
from agent.turns.expectation import Expectations


@dataclass(frozen=True, slots=True)
class CallServices:
    """Handed to every call; nothing in it belongs to one."""

    agent: AgentFile
    clock: Clock
    stt: STTChain
    llm: LLMChain
    tts: TTSChain
    tools: ToolRunner
    ticker: Ticker
    expectations: Expectations
    endpointer: Endpointer
    phrases: dict[str, tuple[str, ...]]
    """What callers are likely to say, by language."""
    observer: CallObserver
    stored: StoredReplies | None = None
    """Where the action `cached_reply` looks."""
    coarse: Timers | None = None
    """For waits of seconds and more. None: the clock's own timers, which are exact."""
