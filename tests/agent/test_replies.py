"""How replies become history, and what is known of the agent's last words."""

from agent.turns.expectation import Expect
from agent.turns.machine import State
from tests.agent.stage import GREETING, LONG, QUESTION, Stage, play


def test_generations_only_grow_and_never_come_twice() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        seen = []
        for text in ("one", "two", "three"):
            stage.media.typed(text)
            await stage.until(lambda: stage.call.replies.current is not None)
            reply = stage.call.replies.current
            assert reply is not None
            assert stage.media.mouth.generation == reply.generation
            seen.append(reply.generation)
        assert seen == sorted(set(seen))

    play(story)


def test_a_reply_that_replaces_another_keeps_all_of_its_own_words() -> None:
    """The one that was cut ends late, when the mouth is at the next one already."""

    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([LONG], ["From eight to six."])
        stage.media.typed("one")
        await stage.until(State.SPEAKING)
        await stage.wait(500)
        stage.media.typed("two")
        await stage.until(lambda: stage.record.turns[-1].caller == "two")
        await stage.until(State.SPEAKING)
        await stage.until(State.IDLE)
        assert stage.record.turns[-1].agent == "From eight to six."
        assert stage.record.counters.unanswered == 0

    play(story)


def test_a_turn_of_which_nothing_was_heard_never_happened() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says([2_000.0, "Never."], "From eight to six.")
        stage.media.typed("one")
        await stage.wait(100)
        stage.media.typed("two")
        await stage.until(State.SPEAKING)
        assert stage.history == [
            ("assistant", GREETING),
            ("user", "one two"),
            ("assistant", "From eight to six."),
        ]

    play(story)


def test_what_is_expected_follows_the_agents_last_words_as_they_come() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        replies = stage.call.replies
        assert replies.expectation.kind == "anything"
        stage.llm.says(["We are open. ", 1_000.0, "Do you want to come on Monday?"])
        stage.media.typed("hello")
        await stage.until(State.SPEAKING)
        assert replies.expectation.kind == "anything"
        await stage.wait(1_500)
        assert replies.expectation.kind == "yes_no"
        await stage.until(State.IDLE)
        assert replies.expectation.kind == "yes_no"
        assert replies.recently_said().endswith("Monday?")

    play(story)


def test_a_question_that_was_not_heard_expects_nothing() -> None:
    async def story(stage: Stage) -> None:
        await stage.greet()
        stage.llm.says("We are open from Monday to Friday. Do you want to come on Monday?")
        await stage.ask()
        await stage.wait(1_000)
        stage.phone.says(QUESTION)
        await stage.until(State.YIELDED)
        stage.stt.partial("no wait")
        assert stage.record.state == "hearing"
        assert stage.call.replies.expectation.kind is Expect.ANYTHING
        assert LONG.startswith(stage.call.replies.recently_said())

    play(story)
