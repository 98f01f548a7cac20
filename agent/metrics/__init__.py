"""Metrics of the process: names, latencies by window, and how they are scraped."""

from agent.metrics.collect import Metrics, Watch
from agent.metrics.latency_book import LatencyBook, merge
from agent.metrics.names import COUNTER_HELP

__all__ = ["COUNTER_HELP", "LatencyBook", "Metrics", "Watch", "merge"]
