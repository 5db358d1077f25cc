"""Virtual points are made in the administration: no circle comes about, not even by two people at once."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.assets.models import MarketArea
from apps.metering.models import Term, VirtualPoint
from evidence.readings import Register
from tests.conftest import signed_in
from tests.factories import AreaFactory, MembershipFactory, PointFactory, UserFactory


def clerk_of(area: MarketArea) -> User:
    user = UserFactory.make(is_staff=True)
    MembershipFactory.make(user=user, party=area.utility, role=MemberRole.STAFF)
    return user


def form(own: VirtualPoint, **term: object) -> dict[str, str]:
    row = {"register": 1, "sign": 1, "source_register": 1, "since": "2026-01-01", **term}
    management = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 0, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}
    fields = {"code": own.code, "name": "", "party": ""}
    fields |= {f"terms-{name}": str(value) for name, value in management.items()}
    return fields | {f"terms-0-{name}": str(value) for name, value in row.items()}


def send(user: User, own: VirtualPoint, **term: object) -> Any:
    return signed_in(user).post(reverse("admin:metering_virtualpoint_change", args=[own.pk]), form(own, **term))


@pytest.mark.django_db
def test_a_clerk_adds_a_term_and_no_circle() -> None:
    area = AreaFactory.make()
    clerk, meter = clerk_of(area), PointFactory.make(area=area)
    a, b = (VirtualPoint.objects.create(area=area, code=code) for code in "AB")
    assert send(clerk, a, virtual=b.pk).status_code == 302
    assert send(clerk, b, point=meter.pk, sign=-1, source_register=Register.GRID_EXPORT).status_code == 302
    response = send(clerk, b, virtual=a.pk)
    assert "A virtual point cannot be computed from itself." in response.content.decode()
    response = send(clerk, b, virtual=b.pk)
    assert "A virtual point cannot be computed from itself." in response.content.decode()
    terms = Term.objects.order_by("pk").values_list("of", "point", "virtual", "sign", "source_register")
    assert list(terms) == [(a.pk, None, b.pk, 1, 1), (b.pk, meter.pk, None, -1, 4)]


@pytest.mark.django_db
def test_a_clerk_adds_a_virtual_point_with_its_terms() -> None:
    area = AreaFactory.make()
    clerk, meter = clerk_of(area), PointFactory.make(area=area)
    url = reverse("admin:metering_virtualpoint_add")
    new = VirtualPoint(area=area, code="N")
    for wrong in ("", "0"):
        response = signed_in(clerk).post(url, form(new, point=meter.pk) | {"area": wrong})
        assert response.status_code == 200 and not VirtualPoint.objects.exists()
    response = signed_in(clerk).post(url, form(new, point=meter.pk) | {"area": str(area.pk)})
    assert response.status_code == 302
    assert Term.objects.get().of == VirtualPoint.objects.get(code="N")


@pytest.mark.django_db
def test_nobody_reaches_into_another_utility() -> None:
    area, elsewhere = AreaFactory.make(), AreaFactory.make()
    clerk, foreign = clerk_of(area), PointFactory.make(area=elsewhere)
    own = VirtualPoint.objects.create(area=area, code="A")
    theirs = VirtualPoint.objects.create(area=elsewhere, code="B")
    assert send(clerk, theirs, point=foreign.pk).status_code in (302, 403, 404)
    assert "Select a valid choice" in send(clerk, own, point=foreign.pk).content.decode()
    assert "Select a valid choice" in send(clerk, own, virtual=theirs.pk).content.decode()
    assert not Term.objects.exists()


def test_two_people_cannot_close_a_circle_together(transactional_db: None) -> None:
    area = AreaFactory.make()
    a, b = (VirtualPoint.objects.create(area=area, code=code) for code in "AB")
    clerks = [clerk_of(area), clerk_of(area)]
    start = threading.Barrier(2)
    statuses: list[int] = []

    def work(user: User, of: VirtualPoint, source: VirtualPoint) -> None:
        try:
            start.wait()
            statuses.append(send(user, of, virtual=source.pk).status_code)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(clerks[0], a, b)),
        threading.Thread(target=work, args=(clerks[1], b, a)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 302]
    assert Term.objects.count() == 1
