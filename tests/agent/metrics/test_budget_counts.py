"""Blown budgets, and stages that end behind a filler, in the book and at `/metrics`."""

from agent.latency import Stage
from agent.metrics.latency_book import LatencyBook
from tests.agent.fakes import Process
from tests.agent.metrics.test_collect import metrics_of, samples
from tests.agent.metrics.test_latency_book import HandClock, by, record, turn
from tests.agent.metrics.test_latency_book import book as book
from tests.agent.metrics.test_latency_book import clock as clock
from tests.virtual import run_virtually, virtual_clock


def test_blown_budgets_are_counted_by_stage_action_and_transport() -> None:
    async def scenario() -> None:
        process = Process(clock=virtual_clock())
        for action in ("filler", "filler", "none"):
            process.book.budget_blown(record("telnyx-media"), Stage.LLM_FIRST_TOKEN, action)
        found = samples(metrics_of(process))
        labels = ("llm_first_token", "telnyx-media")
        assert found["parley_budget_blown_total", frozenset((*labels, "filler"))] == 2
        assert found["parley_budget_blown_total", frozenset((*labels, "none"))] == 1
        await process.close()

    run_virtually(scenario)


def test_a_stage_that_ends_behind_a_filler_is_its_providers(book: LatencyBook, clock: HandClock) -> None:
    late = turn(response=900.0)
    late.providers = {"llm": "openai"}
    book.turn_ended(record(), late)
    assert "llm_first_token" not in book.summary()["stages"]  # type: ignore[operator]  # a dictionary
    book.stage_late(record(), late, Stage.LLM_FIRST_TOKEN, 2_500.0)
    assert by(book, Stage.LLM_FIRST_TOKEN, "provider") == {"openai": 1}
