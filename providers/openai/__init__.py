"""OpenAI chat completions, and every server that speaks the same protocol."""

from providers.openai.provider import OpenAIChat

__all__ = ["OpenAIChat"]
