"""The page on what node operators read names every kind of command."""

import re
from pathlib import Path

import pytest

from evidence.commands.kinds import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "what-a-node-operator-reads.md").read_text(encoding="utf-8").lower()
ROWS = [line.split("|")[1].replace("*", "").strip() for line in PAGE.splitlines() if line.startswith("| ")]
# Kinds that share a row with others, and what the row calls them.
ROW_OF = {
    "ChangeParticipantState": "change participant's state, rotate its key",
    "RotateParticipantKey": "change participant's state, rotate its key",
    "TransferPlant": "transfer plant, change its state",
    "ChangePlantState": "transfer plant, change its state",
    "TransferDevice": "transfer device, change its state",
    "ChangeDeviceState": "transfer device, change its state",
    "RotateDeviceKey": "rotate or revoke a device key",
    "RevokeDeviceKey": "rotate or revoke a device key",
    "WithdrawOffer": "withdraw, close offer",
    "CloseOffer": "withdraw, close offer",
}


@pytest.mark.parametrize("kind", [fields.__name__ for fields in KINDS.values()])
def test_the_page_says_what_is_read_of_every_kind(kind: str) -> None:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    assert ROW_OF.get(kind, words) in ROWS
