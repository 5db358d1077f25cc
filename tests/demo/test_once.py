"""One market day, from the meters to the verified invoices, through the real programs."""

import json
from pathlib import Path

from tests.demo.programs import start_demo


def test_a_market_day_adds_up(short_folder: Path) -> None:
    process = start_demo("--once", TMPDIR=str(short_folder))
    output, errors = process.communicate(timeout=280)
    found = json.loads(output.splitlines()[-1])
    assert process.returncode == 0, errors
    assert found["ok"], found
    assert found["slots"] in (92, 96, 100)
    assert found["produced_wh"] == found["allocated_wh"] + found["fed_in_wh"] > 0
    assert found["consumed_wh"] == found["allocated_wh"] + found["supplied_wh"] > 0
    assert found["evidence_verified"] == {"1": found["produced_wh"] + found["consumed_wh"]}
    assert found["invoices"] == 9
    assert found["commands_confirmed"] > 30
    assert not list(short_folder.glob("energymarket-*"))
