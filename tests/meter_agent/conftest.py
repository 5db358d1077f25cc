from collections.abc import Iterator
from pathlib import Path

import pytest

from meter_agent.journal import Journal
from tests.meter_agent.support import DEVICE, HeadEnd, running_head_end


@pytest.fixture
def head_end() -> Iterator[HeadEnd]:
    with running_head_end() as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite", DEVICE) as opened:
        yield opened
