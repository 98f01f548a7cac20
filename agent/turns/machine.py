"""Whose turn it is: the state machine of one conversation, as a table.

Theory of operation
-------------------
Two parties take turns, and either may start while the other is not done. The machine knows neither audio
nor text; it is told *events* (by the detectors on media lines, by the platform on text lines) and answers
with a new *state* and at most one *action*, which the call carries out. All rules are in `TRANSITIONS`; a
pair that is not there changes nothing. `docs/turns.md` draws the same table.

* The agent stops first and thinks later. `BARGE` (enough voice from the caller) pauses the audio and leads
  to `YIELDED`. Words make it a real interruption (`CANCEL`); a silence without words (`QUIET`: a cough, a
  backchannel, the agent's own echo) resumes where the caller stopped hearing, or, where nothing was heard
  yet, goes back to making the reply (`QUIET_EARLY`).
* A caller who goes on speaking before the reply sounds has not finished: the same path, so that the reply
  to half a sentence is thrown away and both halves become one turn.
* `ENDPOINT` always means that the caller's turn is complete, however that was found out: silence, a key, a
  final prompt. It is answered from any state.
* The agent may begin by itself (`SAY`: greeting, reprompt, goodbye), but never over the caller.
"""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Whose turn it is."""

    IDLE = "idle"
    """Nobody speaks; the caller may."""
    HEARING = "hearing"
    """The caller speaks, or has paused for less than an endpoint."""
    REPLYING = "replying"
    """A reply is being made; no sound of it yet."""
    SPEAKING = "speaking"
    """The agent is heard."""
    YIELDED = "yielded"
    """The agent fell silent because the caller makes a sound; words will decide."""
    ENDED = "ended"


class Event(StrEnum):
    """What happened."""

    VOICE = "voice"
    """The caller began to make a sound."""
    BARGE = "barge"
    """The caller has made a sound for long enough to stop the agent."""
    WORDS = "words"
    """Words were understood: more than a backchannel, and not the agent's own."""
    QUIET = "quiet"
    """The sound is over and there were no words in it."""
    QUIET_EARLY = "quiet_early"
    """The same, while the reply that it stopped has not made a sound yet."""
    ENDPOINT = "endpoint"
    """The caller's turn is complete."""
    SAY = "say"
    """The agent has something to say by itself."""
    SOUND = "sound"
    """The first audio (or text) of the reply was handed to the line."""
    DONE = "done"
    """The reply was heard to its end, or ended without a sound."""
    END = "end"
    """The call is over."""


class Action(StrEnum):
    """What the call has to do now."""

    NONE = "none"
    LISTEN = "listen"
    """A caller's turn begins."""
    REPLY = "reply"
    """Answer the caller's turn."""
    REPLACE = "replace"
    """Cancel the reply, keep what was heard of it, and answer the caller's turn."""
    SPEAK = "speak"
    """Say what the agent wanted to say."""
    PAUSE = "pause"
    """Stop the audio, keep the reply."""
    RESUME = "resume"
    """Go on with the reply."""
    CANCEL = "cancel"
    """Drop the reply, keep what was heard of it in the history; the caller's turn goes on."""
    DISMISS = "dismiss"
    """The caller's turn was no words: forget it."""
    REST = "rest"
    """Nobody has anything to say: start the idle timer."""
    STOP = "stop"
    """Tear down."""


class Step(NamedTuple):
    """Where an event leads."""

    state: State
    action: Action


_S, _E, _A = State, Event, Action

TRANSITIONS: dict[tuple[State, Event], Step] = {
    (_S.IDLE, _E.VOICE): Step(_S.HEARING, _A.LISTEN),
    (_S.IDLE, _E.BARGE): Step(_S.HEARING, _A.LISTEN),
    (_S.IDLE, _E.WORDS): Step(_S.HEARING, _A.LISTEN),
    (_S.IDLE, _E.ENDPOINT): Step(_S.REPLYING, _A.REPLY),
    (_S.IDLE, _E.SAY): Step(_S.REPLYING, _A.SPEAK),
    (_S.HEARING, _E.ENDPOINT): Step(_S.REPLYING, _A.REPLY),
    (_S.HEARING, _E.QUIET): Step(_S.IDLE, _A.DISMISS),
    (_S.REPLYING, _E.BARGE): Step(_S.YIELDED, _A.PAUSE),
    (_S.REPLYING, _E.WORDS): Step(_S.HEARING, _A.CANCEL),
    (_S.REPLYING, _E.ENDPOINT): Step(_S.REPLYING, _A.REPLACE),
    (_S.REPLYING, _E.SOUND): Step(_S.SPEAKING, _A.NONE),
    (_S.REPLYING, _E.QUIET): Step(_S.IDLE, _A.DISMISS),
    (_S.REPLYING, _E.DONE): Step(_S.IDLE, _A.REST),
    (_S.SPEAKING, _E.BARGE): Step(_S.YIELDED, _A.PAUSE),
    (_S.SPEAKING, _E.WORDS): Step(_S.HEARING, _A.CANCEL),
    (_S.SPEAKING, _E.ENDPOINT): Step(_S.REPLYING, _A.REPLACE),
    (_S.SPEAKING, _E.DONE): Step(_S.IDLE, _A.REST),
    (_S.YIELDED, _E.WORDS): Step(_S.HEARING, _A.CANCEL),
    (_S.YIELDED, _E.QUIET): Step(_S.SPEAKING, _A.RESUME),
    (_S.YIELDED, _E.QUIET_EARLY): Step(_S.REPLYING, _A.RESUME),
    (_S.YIELDED, _E.ENDPOINT): Step(_S.REPLYING, _A.REPLACE),
    (_S.YIELDED, _E.DONE): Step(_S.IDLE, _A.REST),
    **{(state, _E.END): Step(_S.ENDED, _A.STOP) for state in _S if state is not _S.ENDED},
}


class TurnMachine:
    """The state of one conversation."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.IDLE

    def handle(self, event: Event) -> Action:
        """Take `event`; returns what to do. An event that means nothing in this state does nothing."""
        step = TRANSITIONS.get((self.state, event))
        if step is None:
            return Action.NONE
        self.state = step.state
        return step.action
