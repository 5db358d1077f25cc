"""Addresses of the portal's pages."""

from django.urls import path, register_converter

from apps.portal.views import (
    account,
    completeness,
    enrolments,
    fleet,
    imports,
    invoices,
    ledger,
    live,
    meters,
    offers,
    people,
    points,
    readings,
    start,
)

app_name = "portal"


class CommandId:
    """32 bytes in lower-case hexadecimal form."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(CommandId, "command_id")

urlpatterns = [
    path("", start.start, name="start"),
    path("dues/", start.all_dues, name="dues"),
    path("live/points", live.points, name="live"),
    path("metering-points/", points.points, name="points"),
    path("metering-points/<int:pk>/", points.point, name="point"),
    path("metering-points/<int:pk>/last-hours/", points.last_hours, name="last_hours"),
    path("metering-points/<int:pk>/readings.csv", points.readings_csv, name="readings_csv"),
    path("metering-points/<int:pk>/reading/", readings.reading, name="reading"),
    path("metering-points/<int:pk>/meters/", meters.meters, name="meters"),
    path("meters/<int:pk>/exchange/", meters.exchange, name="exchange_meter"),
    path("meters/<int:pk>/role/", meters.role, name="meter_role"),
    path("virtual-points/", readings.virtual_points, name="virtual_points"),
    path("virtual-points/<int:pk>/", readings.virtual_point, name="virtual_point"),
    path("completeness/", completeness.completeness, name="completeness"),
    path("completeness/<int:area_pk>/<str:day>/", completeness.day, name="completeness_day"),
    path("completeness/<int:area_pk>/<str:day>/substitute/", completeness.substitute, name="completeness_substitute"),
    path("offers/", offers.offers, name="offers"),
    path("offers/new/<int:declaration_pk>/", offers.new_offer, name="new_offer"),
    path("offers/<int:pk>/", offers.offer, name="offer"),
    path("offers/<int:pk>/change/", offers.change_offer, name="change_offer"),
    path("offers/<int:pk>/publish/", offers.publish, name="publish"),
    path("offers/<int:pk>/withdraw/", offers.withdraw, name="withdraw"),
    path("offers/<int:pk>/discard/", offers.discard, name="discard"),
    path("offers/<int:pk>/buy/", offers.buy, name="buy"),
    path("purchases/<int:pk>/", offers.purchase, name="purchase"),
    path("invoices/", invoices.invoices, name="invoices"),
    path("invoices/<int:pk>/", invoices.invoice, name="invoice"),
    path("invoices/<int:pk>/document.pdf", invoices.pdf, name="invoice_pdf"),
    path("invoices/<int:pk>/document.json", invoices.document, name="invoice_json"),
    path("invoices/<int:pk>/verify/", invoices.verify, name="verify"),
    path("invoices/<int:pk>/bundle.json", invoices.bundle, name="bundle"),
    path("invoices/<int:pk>/anchors.json", invoices.anchors, name="anchors"),
    path("imports/", imports.imports, name="imports"),
    path("imports/<int:pk>/", imports.one_import, name="import"),
    path("imports/<int:pk>/store/", imports.store_import, name="store_import"),
    path("imports/<int:pk>/stop/", imports.stop_import, name="stop_import"),
    path("imports/<int:pk>/discard/", imports.discard_import, name="discard_import"),
    path("ledger/", ledger.ledger, name="ledger"),
    path("ledger/<command_id:command_id>/", ledger.record, name="record"),
    path("ledger/<command_id:command_id>/seal/", ledger.seal, name="seal"),
    path("fleet/", fleet.fleet, name="fleet"),
    path("fleet/<int:pk>/", fleet.box, name="fleet_box"),
    path("fleet/alarms/<int:pk>/seen/", fleet.seen, name="alarm_seen"),
    path("account/", account.account, name="account"),
    path("enrolments/", enrolments.enrolments, name="enrolments"),
    path("enrolments/new/", enrolments.new, name="new_enrolment"),
    path("enrolments/<int:pk>/", enrolments.code, name="enrolment"),
    path("enrolments/<int:pk>/renew/", enrolments.renew, name="renew_code"),
    path("enrolments/<int:pk>/meters/", enrolments.meters, name="enrolment_meters"),
    path("enrolments/<int:pk>/plant/", enrolments.plant, name="enrolment_plant"),
    path("enrolments/<int:pk>/point/", enrolments.point, name="enrolment_point"),
    path("enrolments/<int:pk>/register/", enrolments.register, name="register_box"),
    path("enrolments/<int:pk>/test/", enrolments.test, name="enrolment_test"),
    path("enrolments/<int:pk>/go-live/", enrolments.go_live, name="go_live"),
    path("enrolments/<int:pk>/live/", enrolments.live, name="enrolment_live"),
    path("enrolments/<int:pk>/protocol.pdf", enrolments.protocol, name="enrolment_protocol"),
    path("enrolments/<int:pk>/progress/", enrolments.progress, name="enrolment_progress"),
    path("enrolments/<int:pk>/undo/", enrolments.undo, name="undo_enrolment"),
    path("account/notices/", account.notices, name="notices"),
    path("people/", people.people, name="people"),
    path("people/<int:pk>/confirm/", people.confirm, name="confirm_member"),
    path("people/<int:pk>/refuse/", people.refuse, name="refuse_member"),
    path("people/<int:pk>/end/", people.end, name="end_member"),
    path("invitations/<str:token>/", people.invitation, name="invitation"),
]
