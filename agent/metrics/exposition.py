"""The stage histogram as Prometheus text.

It is most of a scrape (two thousand lines with a hundred label sets), and prometheus-client takes 8 us for
each: calls would feel a scrape. Here a line is one concatenation.
"""

from collections.abc import Iterable, Iterator

from agent.metrics.histograms import Series
from agent.metrics.names import BUCKETS_S, STAGE_SECONDS

_NAME = STAGE_SECONDS.name
_BOUNDS = (*(f'",le="{bound}"}} ' for bound in BUCKETS_S), '",le="+Inf"} ')


def stage_text(series: Iterable[Series]) -> bytes:
    """The family in the text format, version 0.0.4; nothing but its head where there is no series."""
    return b"".join(stage_texts(series))


def stage_texts(series: Iterable[Series]) -> Iterator[bytes]:
    """`stage_text` label set by label set, those that there are at the beginning; more may come meanwhile."""
    yield f"# HELP {_NAME} {STAGE_SECONDS.text}\n# TYPE {_NAME} {STAGE_SECONDS.kind.value}\n".encode()
    for each in tuple(series):
        yield "".join(_lines(each)).encode()


def _lines(series: Series) -> Iterator[str]:
    pairs = zip(STAGE_SECONDS.labels, series.key, strict=True)
    # The last label's quote is left open for what follows it.
    labels = '",'.join(f'{name}="{_escaped(value)}' for name, value in pairs)
    head = f"{_NAME}_bucket{{{labels}"
    total = 0
    for bound, count in zip(_BOUNDS, series.buckets, strict=True):
        total += count
        yield f"{head}{bound}{total}\n"
    yield f'{_NAME}_count{{{labels}"}} {total}\n{_NAME}_sum{{{labels}"}} {series.sum_s!r}\n'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
