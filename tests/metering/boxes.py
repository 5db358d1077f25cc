"""What a box of the small market says about itself."""

import json
import time
from typing import Any

from django.test import Client

from evidence import canonical
from evidence.box_forms import Signed
from evidence.boxes import BoxStatus, body_hash
from evidence.keys import SoftwareKey
from tests.metering.head_end import HeadEnd

URL = "/api/v1/box-status"


def content(**change: Any) -> dict[str, Any]:
    return {
        "at": str(int(time.time())),
        "version": "1.4.2",
        "backlog": {"readings": "12", "batches": "1"},
        "newest": "1780000000",
        "refused": "0",
        "errors": ["roof grid meter"],
        "free_disk": "900000000",
    } | change


def said(
    head_end: HeadEnd, sequence: int = 1, *, key: SoftwareKey | None = None, body: bytes | None = None, **change: Any
) -> dict[str, Any]:
    key = key or head_end.key
    body = canonical.dumps(content(**change)) if body is None else body
    status = BoxStatus(bytes(head_end.device.ledger_id), key.public_key.id, sequence, body_hash(body))
    return Signed(status, key.sign(status.digest), body).as_json("status")


def post(document: dict[str, Any]) -> Any:
    return Client().post(URL, json.dumps(document), content_type="application/json")
