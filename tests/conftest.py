"""Shared by all tests: no test leaves a task behind."""

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

MANY_OBJECTS = 50_000
"""So many survivors of a collection are mostly modules that a test was the first to import. They are not
looked at again: with a vendor's SDK among them a collection takes 150 ms, else 5."""


def pytest_configure() -> None:
    """Servers that tests start keep nothing in the home directory of whoever runs them, and slowness is no
    failure."""
    os.environ["PARLEY_STORE"] = "off"
    settings.register_profile(
        "shared machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test with an event loop is watched. One with a real browser may begin anew once, and is named.

    On a shared machine a headless browser now and then forgets a frame or a timer until something wakes it.
    """
    for item in items:
        if isinstance(item, pytest.Function) and "browser" in item.fixturenames:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            marker = item.get_closest_marker("asyncio")
            shared = marker is not None and marker.kwargs.get("loop_scope") == "session"
            watch = no_task_left_behind_in_a_shared_loop if shared else no_task_left_behind
            # What others share, such as the connection to a browser, outlives the first that needs it.
            own = [name for name in item.fixturenames if not shared_by_tests(item, name)]
            at = item.fixturenames.index(own[0]) if own else len(item.fixturenames)
            item.fixturenames.insert(at, watch.__name__)


def shared_by_tests(item: pytest.Function, fixture: str) -> bool:
    """True for a fixture of a wider scope than one test."""
    found = item._fixtureinfo.name2fixturedefs.get(fixture)
    return found is not None and found[-1].scope != "function"


def pytest_collection_finish() -> None:
    """What is loaded by now is no test's garbage: collecting after each test need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def no_task_left_behind() -> AsyncIterator[None]:
    """Fails a test that ends with tasks still running, or with a task whose exception nobody saw."""
    async with watched():
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def no_task_left_behind_in_a_shared_loop() -> AsyncIterator[None]:
    """The same for a test whose loop others had before it."""
    async with watched():
        yield


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Fails if tasks of the running loop that begin within do not end within."""
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
    if len(gc.get_objects()) > MANY_OBJECTS:
        gc.freeze()
    assert not left, f"tasks left behind: {left}"
    assert not unseen, f"errors nobody saw: {unseen}"
