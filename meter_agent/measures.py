"""Measure documents, the form in which EnergySequence and the like take readings."""

import datetime as dt
import json
from collections.abc import Collection, Sequence

from evidence import boxes
from evidence.canonical import encode_bytes
from evidence.keys import Signer
from evidence.measures import DISABLED, OF_REGISTER, VISIBLE, kilo
from evidence.readings import Quality, Reading, Register

PATH = "/api/v1/measures"


def measure_document(
    identifier: str,
    device_name: str,
    readings: Sequence[Reading],
    step: int,
    disabled: Collection[Register] = (),
) -> bytes:
    """The JSON of a document with the energies of slots of `step` seconds, in the order of `readings`.

    All readings are of one metering point. Substitutes are left out: the form knows true values only. Readings of
    `disabled` registers are marked so, for whoever does not want to count them.
    """
    measures = []
    for reading in readings:
        if reading.quality != Quality.TRUE_VALUE:
            continue
        measure = OF_REGISTER[Register(reading.register)]
        start = dt.datetime.fromtimestamp(reading.slot, dt.UTC)
        measures.append(
            {
                "name": measure.name,
                "description": measure.description,
                "unity": measure.unity,
                "pos": measure.pos,
                "visibility": DISABLED if reading.register in disabled else VISIBLE,
                "value": kilo(reading.value),
                "date": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                "period": step,
            }
        )
    document = {"id": identifier, "device_name": device_name, "measures": measures}
    return json.dumps(document, separators=(",", ":")).encode()


def credentials(device: bytes, key: Signer, body: bytes) -> dict[str, str]:
    """The headers with which a device with this ledger id sends a document."""
    said = boxes.Document(device, key.public_key.id, boxes.body_hash(body))
    signed = encode_bytes(said.encode() + key.sign(said.digest))
    return {"Authorization": f"Box {signed}", "Content-Type": "application/json"}
