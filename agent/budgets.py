"""Latency budgets of one call: a timer for each stage that is going on, and what to do when it runs out.

A stage begins, and its deadline is armed on the call's clock; it yields, and the deadline is dropped. What is
done about a blown one is the business of whoever began the stage (`agent.reply`, `agent.mouth`,
`agent.media`); here it is counted and told. A stage without a budget costs one look into a dictionary.
"""

from collections.abc import Callable

from agent.agentfile.schema import Budgets
from agent.latency import Stage
from agent.records import CallObserver, CallRecord
from agent.scope import CallScope

NONE = "none"
"""The action where there is none, or where it could not be taken any more."""

Act = Callable[[str], bool]
"""Told the action of a blown budget; False if there was nothing that it could do."""


class Deadlines:
    """One call's budgets. A stage is begun once per turn at most; all plain calls on the event loop."""

    def __init__(
        self, budgets: Budgets, scope: CallScope, record: CallRecord, observer: CallObserver
    ) -> None:
        self._budgets = budgets.all()
        self._scope = scope
        self._record = record
        self._observer = observer

    def action(self, stage: Stage) -> str:
        """What is done when the stage's budget is blown."""
        budget = self._budgets.get(stage.value)
        return NONE if budget is None else budget.action

    def begin(self, stage: Stage, since_ms: float, blown: dict[Stage, str], act: Act) -> None:
        """The stage began at `since_ms`. `blown`: the turn's, where it is noted if the budget is blown."""
        budget = self._budgets.get(stage.value)
        if budget is None:
            return

        def late() -> None:
            done = budget.action if budget.action != NONE and act(budget.action) else NONE
            blown[stage] = done
            self._scope.run("observer", lambda: self._observer.budget_blown(self._record, stage, done))

        left_ms = since_ms + budget.ms - self._scope.clock.now_ms()
        self._scope.after(_timer(stage), left_ms, late)

    def end(self, stage: Stage) -> None:
        """The stage has yielded, or failed. Nothing happens where it was not begun."""
        if stage.value in self._budgets:
            self._scope.cancel_timer(_timer(stage))

    def clear(self) -> None:
        """The reply is over: nothing is late any more. The caller's own stage is left alone."""
        for stage in (Stage.LLM_FIRST_TOKEN, Stage.TTS_FIRST_AUDIO, Stage.RESPONSE):
            self.end(stage)


def _timer(stage: Stage) -> str:
    return f"budget {stage.value}"
