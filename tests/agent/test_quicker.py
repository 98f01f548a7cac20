"""An answer that is overtaken: who is asked beside the slow one, and who is not."""

from collections.abc import Callable

import pytest

from agent.agentfile.schema import Limits
from agent.chains import LLMChain
from agent.providers import ChatRequest, TextDelta
from agent.quicker import STORED, QuickerAnswer
from tests.agent.test_chains import REQUEST, Fake, unavailable
from tests.virtual import run_virtually, virtual_clock

LIMITS = Limits(llm_first_token_ms=5_000)


class Knowing:
    """Knows one answer, or none."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    def stored_reply(self, request: ChatRequest) -> str | None:
        return self.answer


def heard(
    chain: LLMChain, action: str, stored: Knowing | None = None, at_ms: float = 300.0
) -> tuple[str, list[str], list[bool]]:
    """The answer, who was said to have given it, and what became of the action."""

    async def scenario() -> tuple[str, list[str], list[bool]]:
        served: list[str] = []
        did: list[bool] = []
        answer = QuickerAnswer(chain, stored, REQUEST, served.append)
        virtual_clock().call_later(at_ms, lambda: did.append(answer.overtake(action)))
        text = "".join([event.text async for event in answer.items() if isinstance(event, TextDelta)])
        await virtual_clock().sleep(at_ms)
        return text, served, did

    return run_virtually(scenario)


def test_the_next_of_the_chain_is_asked_not_the_slow_one_again() -> None:
    slow, quick, third = Fake("slow", 2_000, "late"), Fake("quick", 100, "soon"), Fake("third", "never")
    assert heard(LLMChain([slow, quick, third], LIMITS), "next_provider") == ("soon", ["quick"], [True])
    assert (slow.asked, quick.asked, third.asked) == (1, 1, 0)
    assert slow.closed_streams == 1


def test_one_that_had_failed_before_is_passed_over() -> None:
    broken, slow, quick = (
        Fake("broken", unavailable("broken")),
        Fake("slow", 2_000, "late"),
        Fake("quick", "soon"),
    )
    assert heard(LLMChain([broken, slow, quick], LIMITS), "next_provider")[0] == "soon"
    assert (broken.asked, slow.asked, quick.asked) == (1, 1, 1)


def test_two_that_begin_in_the_same_moment_are_told_apart() -> None:
    one, two = Fake("one", 400, "one"), Fake("two", 100, "two")
    text, served, _ = heard(LLMChain([one, two], LIMITS), "next_provider")
    assert served == [text]


def test_the_smaller_model_is_asked_alone() -> None:
    slow, small = Fake("openai", 2_000, "late"), Fake("openai", 50, "soon")
    assert heard(LLMChain([slow], LIMITS, small), "smaller_model") == ("soon", ["openai#smaller"], [True])


def test_a_smaller_model_that_fails_leaves_it_to_the_slow_one() -> None:
    slow, small = Fake("openai", 900, "late"), Fake("openai", unavailable("openai"))
    chain = LLMChain([slow], LIMITS, small)
    assert heard(chain, "smaller_model") == ("late", ["openai"], [True])
    assert chain.failures == {"openai#smaller": 1}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (Knowing("Nine to five."), ("Nine to five.", [STORED], [True])),
        (Knowing(None), ("late", ["slow"], [False])),
        (None, ("late", ["slow"], [False])),
    ],
)
def test_a_stored_reply_is_given_where_there_is_one(
    stored: Knowing | None, expected: tuple[str, list[str], list[bool]]
) -> None:
    assert heard(LLMChain([Fake("slow", 900, "late")], LIMITS), "cached_reply", stored) == expected


@pytest.mark.parametrize("action", ["next_provider", "smaller_model", "cached_reply"])
def test_an_answer_that_has_begun_is_not_overtaken(action: str) -> None:
    chain = LLMChain(
        [Fake("one", 100, "here", 500, " it is"), Fake("two", "no")], LIMITS, Fake("small", "no")
    )
    assert heard(chain, action, Knowing("no")) == ("here it is", ["one"], [False])


@pytest.mark.parametrize("way", [LLMChain.warm, LLMChain.close])
def test_the_smaller_model_is_warmed_and_closed_with_the_others(way: Callable[[LLMChain], object]) -> None:
    async def scenario() -> None:
        chain = LLMChain([Fake("one")], LIMITS, Fake("small", unavailable("small")))
        await way(chain)  # type: ignore[misc]  # both are coroutines
        assert chain.failures == {"small#smaller": 1}

    run_virtually(scenario)
