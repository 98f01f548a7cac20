"""The agent file: schema, reading, and what follows from it."""

from agent.agentfile.expected import caller_phrases
from agent.agentfile.load import load_agent, parse_agent
from agent.agentfile.schema import AgentFile

__all__ = ["AgentFile", "caller_phrases", "load_agent", "parse_agent"]
