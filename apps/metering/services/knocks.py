"""A box that asks to be enrolled: who it is, what it found, and what it is told.

Whoever does not know the code, or comes with another key than the first, learns nothing: not even whether it exists.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.exceptions import InputRefused, Violation
from apps.metering.models import DeviceKey, EnrolmentCode, FoundMeter, Instruction
from apps.metering.services.origins import take_origin
from evidence.box_forms import Signed
from evidence.boxes import Enrolment, EnrolmentAnswer, InstructionKind, body_hash, mac
from evidence.canonical import check_depth

MOST_BODY_BYTES = 64_000
MOST_METERS = 64
MOST_SETTINGS = 1_000
LARGEST_COUNTER = 2**63
MEMBERS = {"agent": str, "server": str, "meters": list, "tests": list, "problem": str, "attestation": dict}
QUANTITIES = ("import", "export", "reactive_1", "reactive_2", "reactive_3", "reactive_4")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the box is told, and the proof that it comes from who knows the code. `is_done`: nothing is waited for."""

    answer: EnrolmentAnswer
    mac: bytes
    body: bytes
    is_done: bool


@transaction.atomic
def knock(asked: Signed[Enrolment], proof: bytes) -> Reply:
    """Take what a box says, as often as it says it, and answer how far it has come. Raises `InputRefused`."""
    enrolment, key = _authenticated(asked, proof)
    content = read_body(asked.body)
    _bind(enrolment, asked.said, content)
    _store_meters(enrolment, content)
    if enrolment.state == EnrolmentState.CONFIGURED:
        _store_tests(enrolment, content)
    body = json.dumps(_told(enrolment), separators=(",", ":"), sort_keys=True).encode()
    answer = EnrolmentAnswer(asked.said.code, asked.said.digest, body_hash(body))
    is_done = enrolment.state in (EnrolmentState.CONFIGURED, EnrolmentState.LIVE)
    return Reply(answer, mac(key, answer.digest), body, is_done)


def _authenticated(asked: Signed[Enrolment], proof: bytes) -> tuple[EnrolmentCode, bytes]:
    said = asked.said
    rows = EnrolmentCode.objects.select_for_update(of=("self",)).select_related("area", "device")
    enrolment = rows.filter(code_id=said.code).first()
    key = enrolment.key if enrolment else None
    # A code that does not exist takes as long.
    knows = hmac.compare_digest(mac(key or secrets.token_bytes(32), said.digest), proof)
    holds = said.public_key.verifies(said.digest, asked.signature)
    if enrolment is None or key is None or not (knows and holds and _may_use(enrolment, said)):
        message = _("This enrolment code cannot be used. Ask whoever gave it to you for a new one.")
        raise InputRefused(Violation("enrolment", "refused", message), status=403)
    return enrolment, key


def _may_use(enrolment: EnrolmentCode, said: Enrolment) -> bool:
    bound = enrolment.public_key
    return not enrolment.is_expired if bound is None else bound == said.public_key


def _bind(enrolment: EnrolmentCode, said: Enrolment, content: Mapping[str, Any]) -> None:
    """The code is this box's from now on."""
    if enrolment.used_at is None:
        key = said.public_key
        if DeviceKey.objects.filter(key_id=key.id).exists():
            message = _("The key of this box is known already. Give the box a new key and try again.")
            raise InputRefused(Violation("enrolment.x", "known_key", message), status=409)
        enrolment.algorithm, enrolment.x, enrolment.y = said.algorithm, said.x, said.y
        enrolment.used_at = timezone.now()
    if enrolment.state in (EnrolmentState.OPEN, EnrolmentState.CHALLENGED):
        take_origin(enrolment, said.public_key, content["attestation"])
    enrolment.agent, enrolment.server, enrolment.problem = content["agent"], content["server"], content["problem"]
    enrolment.seen_at = timezone.now()
    enrolment.save()


def _store_meters(enrolment: EnrolmentCode, content: Mapping[str, Any]) -> None:
    """What was found before and is not found now stays: it may only not answer at the moment."""
    now = timezone.now()
    rows = [
        FoundMeter(
            enrolment=enrolment,
            place=_place(meter["settings"]),
            settings=meter["settings"],
            description=meter["description"],
            serial=meter["serial"],
            energy=meter["energy"],
            read_at=now,
        )
        for meter in content["meters"]
    ]
    FoundMeter.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["enrolment", "place"],
        update_fields=["description", "serial", "energy", "read_at"],
    )


def _place(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, separators=(",", ":"), sort_keys=True)


def _store_tests(enrolment: EnrolmentCode, content: Mapping[str, Any]) -> None:
    """What the box read with its new settings."""
    now, sequence = timezone.now(), int(_configuration(enrolment).sequence)
    read = {(test["point"], test["role"]): test for test in content["tests"] if test["sequence"] == sequence}
    tested = []
    for meter in enrolment.meters.exclude(role=MeterRole.NONE).select_related("point"):
        test = read.get((bytes(meter.point.ledger_id).hex(), meter.role)) if meter.point else None
        if test is None:
            continue
        meter.error, meter.read_at = test["error"], now
        meter.tested_at = None if test["error"] else now
        meter.energy = test["energy"] or meter.energy
        tested.append(meter)
    FoundMeter.objects.bulk_update(tested, ["error", "energy", "read_at", "tested_at"])


def _told(enrolment: EnrolmentCode) -> dict[str, Any]:
    told: dict[str, Any] = {"state": str(enrolment.state)}
    if enrolment.state == EnrolmentState.CHALLENGED and enrolment.attestation is not None:
        told["credential"] = enrolment.attestation["credential"]
    if enrolment.device is not None:
        configuration = _configuration(enrolment)
        signed = Signed(configuration.said, bytes(configuration.signature), bytes(configuration.body))
        told["configuration"] = signed.as_json("instruction")
    return told


def _configuration(enrolment: EnrolmentCode) -> Instruction:
    assert enrolment.device is not None  # noqa: S101 asked only for those that have one
    given = enrolment.device.instructions.filter(kind=InstructionKind.CONFIGURE)
    return given.select_related("device").latest("sequence")


def read_body(body: bytes) -> dict[str, Any]:
    """What stands in the body of an enrolment, in its bounds. Raises `InputRefused`.

    {"agent": version, "server": address, "meters": [{"settings": {...}, "description", "serial", "energy": {...}}],
     "tests": [{"sequence", "point": hex, "role", "energy": {...}, "error"}],
     "problem": why the settings cannot be used, "attestation": {} or what a TPM shows, see `origins`}
    """
    _must(len(body) <= MOST_BODY_BYTES, "body", "too_large", _("The body is too large."))
    try:
        text = body.decode()
        check_depth(text)
        content = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction)
        # Half of a pair of code units, or none at all, is in no database.
        json.dumps(content, ensure_ascii=False).encode()
        _must("\\u0000" not in text, "body", "format", _("The text holds a character that no text has."))
    except ValueError as error:
        raise InputRefused(Violation("body", "format", str(error)[:200])) from None
    _members("body", content, MEMBERS)
    for name, most in (("agent", 50), ("problem", 300)):
        _must(len(content[name]) <= most, f"body.{name}", "too_long", _("The text is too long."))
    _check_server(content["server"])
    for name in ("meters", "tests"):
        _must(len(content[name]) <= MOST_METERS, f"body.{name}", "too_many", _("Too many meters."))
    for index, meter in enumerate(content["meters"]):
        _check_meter(f"body.meters[{index}]", meter)
    for index, test in enumerate(content["tests"]):
        _check_test(f"body.tests[{index}]", test)
    return dict(content)


def _no_fraction(token: str) -> NoReturn:
    raise ValueError(_("numbers are whole"))


def _check_server(server: str) -> None:
    try:
        parts = urlsplit(server)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and len(server) <= 200
    except ValueError:
        is_address = False
    _must(is_address, "body.server", "format", _("The address of the market is expected."))


def _check_meter(field: str, meter: Any) -> None:
    _members(field, meter, {"settings": dict, "description": str, "serial": str, "energy": dict})
    is_short = len(_place(meter["settings"])) <= MOST_SETTINGS
    _must(is_short, f"{field}.settings", "too_long", _("The settings are too long."))
    for name, most in (("description", 200), ("serial", 100)):
        _must(len(meter[name]) <= most, f"{field}.{name}", "too_long", _("The text is too long."))
    _check_energy(f"{field}.energy", meter["energy"])


def _check_test(field: str, test: Any) -> None:
    _members(field, test, {"sequence": int, "point": str, "role": str, "energy": dict, "error": str})
    _must(len(test["error"]) <= 300, f"{field}.error", "too_long", _("The text is too long."))
    _check_energy(f"{field}.energy", test["energy"])


def _check_energy(field: str, energy: Mapping[str, Any]) -> None:
    for quantity, value in energy.items():
        is_counter = quantity in QUANTITIES and type(value) is int and 0 <= value < LARGEST_COUNTER
        _must(is_counter, field, "format", _("Counters are whole numbers of Wh, by what they count."))


def _members(field: str, value: Any, expected: Mapping[str, type]) -> None:
    is_right = isinstance(value, dict) and value.keys() == expected.keys()
    message = _("An object with exactly these members is expected: %(names)s.") % {"names": ", ".join(expected)}
    _must(is_right, field, "members", message)
    for name, kind in expected.items():
        _must(type(value[name]) is kind, f"{field}.{name}", "format", _("A value of another type is expected."))


def _must(holds: bool, field: str, rule: str, message: str) -> None:
    if not holds:
        raise InputRefused(Violation(field, rule, message))
