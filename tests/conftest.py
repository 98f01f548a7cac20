"""Shared by all tests: no test leaves a task behind."""

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator

import pytest


def pytest_configure() -> None:
    """Servers that tests start keep nothing in the home directory of whoever runs them."""
    os.environ["PARLEY_STORE"] = "off"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that has an event loop is watched."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, no_task_left_behind.__name__)


def pytest_collection_finish() -> None:
    """What is loaded by now is no test's garbage: collecting after each test need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def no_task_left_behind() -> AsyncIterator[None]:
    """Fails a test that ends with tasks still running, or with a task whose exception nobody saw."""
    loop = asyncio.get_running_loop()
    unseen: list[str] = []
    loop.set_exception_handler(lambda _, context: unseen.append(str(context)))
    before = asyncio.all_tasks()
    yield
    for _ in range(3):
        await asyncio.sleep(0)
    # The fixture's own finalizer runs as a task of its own.
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if not task.done() and task is not own]
    for task in left:
        task.cancel()
    gc.collect()
    assert not left, f"tasks left behind: {left}"
    assert not unseen, f"errors nobody saw: {unseen}"
