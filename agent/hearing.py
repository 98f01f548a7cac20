"""What a call asks of whoever hears its caller: ears and recognition, or the platform."""

from typing import Protocol


class Hearing(Protocol):
    """The part of a call that hears, as the call needs it."""

    def switch_language(self, language: str) -> None:
        """Listen in another language."""

    def long_turn(self) -> None:
        """The caller's turn has lasted too long: complete it with what there is."""

    def ignore(self) -> None:
        """What is heard now is no turn, however long it goes on."""

    def forget(self) -> None:
        """The words so far are no turn of their own."""

    async def close(self) -> None:
        """The call is over."""
