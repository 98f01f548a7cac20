import pytest

from loadtest.scenarios.schema import Search
from loadtest.scenarios.search import Bisection


def searched(capacity: int, **options: float) -> tuple[int, list[int]]:
    """What a search finds on a server of this capacity, and the loads that it tried."""
    search = Bisection(Search(**{"first": 25, "at_most": 800, **options}))  # type: ignore[arg-type]  # by name
    tried = []
    while (calls := search.next) is not None:
        tried.append(calls)
        search.tried(calls, calls <= capacity)
        assert len(tried) < 30, "it ends"
    return search.held, tried


@pytest.mark.parametrize("capacity", [1, 2, 24, 25, 26, 137, 400, 799])
def test_the_capacity_is_found_to_the_resolution(capacity: int) -> None:
    held, tried = searched(capacity)
    assert held <= capacity
    assert capacity - held <= max(0.06 * capacity, 1)
    assert len(tried) == len(set(tried)), "nothing is tried twice"


def test_it_doubles_first_and_halves_then() -> None:
    assert searched(137)[1] == [25, 50, 100, 200, 150, 125, 137, 143]


def test_it_ends_at_the_most_that_is_allowed() -> None:
    assert searched(5_000) == (800, [25, 50, 100, 200, 400, 800])


def test_given_up_it_keeps_what_it_has() -> None:
    search = Bisection(Search())
    search.tried(25, True)
    search.give_up()
    assert (search.next, search.held) == (None, 25)
