from collections.abc import Iterator

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A page asked for in another language would leave it switched on for the tests after it."""
    with translation.override("en"):
        yield
