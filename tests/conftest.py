"""What all tests share."""

import signal

import pytest

from lab_utils.core import card

# A test run that was started in the background ignores SIGINT, and so would the processes it starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a graphics card where there is none, and say why."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not (answer := card.look()).usable:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=answer.sentence or "There is no graphics card here."))
