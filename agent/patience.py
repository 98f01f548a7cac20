"""How long a call waits: for the caller to say something, for a state to pass, for its own end.

No state lasts for ever (hold music, a dead provider), a silent caller is asked again and then seen off
politely, and a call has a maximum length.
"""

from typing import Protocol

from agent.agentfile.schema import Limits, Turns
from agent.scope import CallScope
from agent.turns.machine import State

REPLYING_MS = 30_000.0
"""Ceiling on a reply without a sound: the providers' own bounds, twice over."""
YIELDED_MS = 6_000.0
"""Ceiling on a sound without words while the agent waits: hold music, a siren."""
MAX_MISHEARD = 5
"""Turns without a word in a row, each as long as a sentence: by then it is a television, not a caller."""
GOODBYE_MS = 15_000.0
"""Ceiling on the goodbye at the time limit."""


class PatienceListener(Protocol):
    """What a call does when its patience is at an end."""

    def reprompt(self) -> None:
        """The caller has been silent: ask again."""

    def not_understood(self) -> None:
        """What the caller said was not understood: tell him."""

    def give_up(self) -> None:
        """The caller stays silent, or says nothing that is a word: say goodbye and hang up."""

    def stuck(self) -> None:
        """The state has lasted too long: leave it the way that keeps the call going."""

    def time_is_up(self) -> None:
        """The call has reached its maximum length: say goodbye and hang up."""

    def out_of_time(self) -> None:
        """That goodbye has taken too long: hang up now."""


class Patience:
    """The waits of one call."""

    def __init__(self, turns: Turns, limits: Limits, scope: CallScope, call: PatienceListener) -> None:
        self._scope = scope
        self._call = call
        self._turns = turns
        self._limits = limits
        self._reprompts = 0
        self._misheard = 0
        self._holding = False

    def begin(self) -> None:
        """The call is on."""
        self._scope.after("time limit", self._limits.max_call_s * 1000.0, self._time_is_up, coarse=True)

    def state(self, state: State) -> None:
        """A state begins: it has its ceiling; and nobody is silent while one speaks."""
        if state is not State.IDLE:
            self._scope.cancel_timer("idle")
        ceiling_ms = self._ceiling_ms(state)
        if ceiling_ms is None or self._holding:
            self._scope.cancel_timer("ceiling")
        else:
            self._scope.after("ceiling", ceiling_ms, self._call.stuck, coarse=True)

    def rest(self) -> None:
        """Nobody has anything to say: wait for the caller."""
        if not self._holding:
            self._scope.after("idle", self._turns.reprompt_ms, self._silent, coarse=True)

    def hold(self) -> None:
        """The line is gone: the caller's silence is not his, and a reply that is held is not stuck."""
        self._holding = True
        self._scope.cancel_timer("idle")
        self._scope.cancel_timer("ceiling")

    def go_on(self, state: State) -> None:
        """There is a line again: the present state begins anew."""
        self._holding = False
        self.state(state)
        if state is State.IDLE:
            self.rest()

    def answered(self) -> None:
        """The caller said something: the reprompts begin anew."""
        self._reprompts = self._misheard = 0

    def misheard(self) -> None:
        """The caller made a sound as long as a sentence, and no word of it was understood."""
        if self._misheard < MAX_MISHEARD:
            self._misheard += 1
            self._call.not_understood()
        else:
            self._call.give_up()

    def _ceiling_ms(self, state: State) -> float | None:
        match state:
            case State.HEARING:
                return self._turns.max_turn_ms
            case State.REPLYING:
                return REPLYING_MS
            case State.SPEAKING:
                return self._limits.max_reply_s * 1000.0
            case State.YIELDED:
                return YIELDED_MS
        return None

    def _silent(self) -> None:
        if self._reprompts < self._turns.max_reprompts:
            self._reprompts += 1
            self._call.reprompt()
        else:
            self._call.give_up()

    def _time_is_up(self) -> None:
        self._scope.after("time limit", GOODBYE_MS, self._call.out_of_time, coarse=True)
        self._call.time_is_up()
