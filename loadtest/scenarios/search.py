"""The search for a server's capacity: which load to try next, given what the tried ones did. No IO.

Doubling from the first load until one fails, then halving the distance between the greatest that held and the
smallest that did not.
"""

from loadtest.scenarios.schema import Search


class Bisection:
    """Loads of at most `at_most` calls. Ask `next`, run it, tell `tried`."""

    def __init__(self, search: Search) -> None:
        self.held = 1
        """The most calls that are known to be carried."""
        self.failed: int | None = None
        """The fewest that are known not to be."""
        self._search = search
        self._given_up = False

    @property
    def next(self) -> int | None:
        """The next load; None when enough is known."""
        search = self._search
        if self._given_up:
            return None
        if self.failed is None:
            if self.held >= search.at_most:
                return None
            return min(max(2 * self.held, search.first), search.at_most)
        middle = (self.held + self.failed) // 2
        close = self.failed - self.held <= max(self.failed * search.resolution_percent / 100, 1.0)
        return None if close else middle

    def tried(self, calls: int, held: bool) -> None:
        """A load was carried well, or not."""
        if held:
            self.held = max(self.held, calls)
        else:
            self.failed = calls if self.failed is None else min(self.failed, calls)

    def give_up(self) -> None:
        """The callers were the bottleneck: what lies beyond cannot be known here."""
        self._given_up = True
