"""A box that asks to be enrolled, as few lines as it takes, and a market with an installer for it."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import MeterRole
from apps.metering.models import EnrolmentCode
from apps.metering.services import enrolment as services
from evidence.box_forms import Signed, read_members, read_signed
from evidence.boxes import Enrolment, EnrolmentAnswer, Instruction, body_hash, code_id, code_key, mac
from evidence.canonical import decode_bytes, encode_bytes
from evidence.keys import Signer, SoftwareKey
from tests.factories import MembershipFactory, UserFactory
from tests.market import make_market

URL = "/api/v1/enrolments"
SERVER = "https://market.example"
ROOF = {"bus": "roof", "unit": 1, "map": "sdm630"}
GRID = {"bus": "roof", "unit": 2, "map": "sdm630"}


def found(settings: dict[str, Any], **energy: int) -> dict[str, Any]:
    return {"settings": settings, "description": "Eastron SDM630", "serial": "", "energy": energy}


METERS = [found(ROOF, export=1_500), found(GRID, **{"import": 2_500, "export": 900})]


@dataclass
class Market:
    area: MarketArea
    point: MeteringPoint  # with a plant
    flat: MeteringPoint  # without
    clerk: User
    installer: User
    enrolment: EnrolmentCode

    @property
    def code(self) -> str:
        code = EnrolmentCode.objects.get(pk=self.enrolment.pk).code
        assert code is not None
        return code

    @property
    def row(self) -> EnrolmentCode:
        return EnrolmentCode.objects.get(pk=self.enrolment.pk)

    def assign(self) -> None:
        """The first meter to the plant, the second to the grid connection."""
        roof, grid = self.row.meters.all()
        services.set_roles(self.row, {roof.pk: MeterRole.GENERATION, grid.pk: MeterRole.GRID})
        services.set_points(self.row, MeterRole.GENERATION, {roof.pk: self.point})
        services.set_points(self.row, MeterRole.GRID, {grid.pk: self.point})


def make_enrolment() -> Market:
    """Alice has a roof behind her metering point, Bob has none."""
    base = make_market({"alice": 9_900, "bob": 0})
    clerk, installer = UserFactory.make(email="clerk@example.org"), UserFactory.make(email="installer@example.org")
    MembershipFactory.make(user=clerk, party=base.utility, role=MemberRole.STAFF)
    MembershipFactory.make(user=installer, party=base.utility, role=MemberRole.INSTALLER)
    point, flat = base.points["alice"], base.points["bob"]
    enrolment = services.make_code(area=base.area, name="box 1", by=clerk, installer=installer, points=[point])
    return Market(base.area, point, flat, clerk, installer, enrolment)


@dataclass
class Box:
    code: str
    key: Signer = field(default_factory=SoftwareKey.generate)

    def content(self, **changed: Any) -> dict[str, Any]:
        return {
            "agent": "0.1",
            "server": SERVER,
            "meters": METERS,
            "tests": [],
            "problem": "",
            "attestation": {},
            **changed,
        }

    def request(self, content: Any = None, *, code: str = "", signer: SoftwareKey | None = None) -> dict[str, Any]:
        """What it posts; `signer` may be another key than the one it names."""
        body = content if isinstance(content, bytes) else json.dumps(content or self.content()).encode()
        public = self.key.public_key
        said = Enrolment(code_id(self.code), public.algorithm, public.x, public.y, body_hash(body))
        signed = Signed(said, (signer or self.key).sign(said.digest), body)
        return signed.as_json("enrolment") | {"mac": encode_bytes(mac(code_key(code or self.code), said.digest))}

    def post(self, content: Any = None, **how: Any) -> Any:
        return send(self.request(content, **how))

    def told(self, content: Any = None) -> dict[str, Any]:
        """The body of a good answer, checked as a box checks it."""
        request = self.request(content)
        response = send(request)
        assert response.status_code in (200, 202), response.content
        answer = response.json()
        said, body = read_members(EnrolmentAnswer, answer["answer"]), decode_bytes(answer["body"])
        assert decode_bytes(answer["mac"]) == mac(code_key(self.code), said.digest)
        assert said.request == read_members(Enrolment, request["enrolment"]).digest
        assert said.body == body_hash(body)
        found: dict[str, Any] = json.loads(body)
        return found

    def configuration(self) -> Signed[Instruction]:
        return read_signed(Instruction, "instruction", self.told()["configuration"])

    def tests(self, market: Market, sequence: int = 1, error: str = "") -> dict[str, Any]:
        point = bytes(market.point.ledger_id).hex()
        return self.content(
            tests=[
                {"sequence": sequence, "point": point, "role": role, "energy": {"import": 7}, "error": error}
                for role in ("generation", "grid")
            ]
        )


def send(content: dict[str, Any]) -> Any:
    return Client(raise_request_exception=True).post(URL, json.dumps(content), content_type="application/json")
