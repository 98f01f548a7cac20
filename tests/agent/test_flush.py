"""A mark behind each `clear` tells when the far end carried it out."""

from agent.flush import FlushProbe


def test_the_mark_behind_a_clear_tells_how_long_it_took() -> None:
    probe = FlushProbe()
    name = probe.cleared(1_000.0)
    assert probe.returned(name, 1_085.0) == 85.0


def test_a_sentences_mark_tells_nothing() -> None:
    probe = FlushProbe()
    assert probe.returned("1.1", 1_000.0) is None
    assert probe.returned("", 1_000.0) is None
    name = probe.cleared(1_000.0)
    assert probe.returned("1.1", 1_010.0) is None
    assert probe.returned(name, 1_020.0) == 20.0


def test_a_mark_that_comes_back_twice_counts_once() -> None:
    probe = FlushProbe()
    name = probe.cleared(1_000.0)
    assert probe.returned(name, 1_020.0) == 20.0
    assert probe.returned(name, 1_040.0) is None


def test_an_answer_that_comes_after_the_next_clear_is_outdated() -> None:
    probe = FlushProbe()
    late, current = probe.cleared(1_000.0), probe.cleared(3_000.0)
    assert late != current
    assert probe.returned(late, 3_010.0) is None
    assert probe.returned(current, 3_040.0) == 40.0
