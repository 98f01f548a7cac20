"""The live dashboard on the side port: a page that people leave open on a wall."""

from agent.dashboard.feed import Dashboard
from agent.dashboard.timelines import Timelines
from agent.dashboard.turns import TurnWatch

__all__ = ["Dashboard", "Timelines", "TurnWatch"]
