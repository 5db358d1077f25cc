"""Addresses of the portal's pages."""

from django.urls import path, register_converter

from apps.portal.views import account, fleet, invoices, ledger, offers, people, points, start

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
    path("metering-points/", points.points, name="points"),
    path("metering-points/<int:pk>/", points.point, name="point"),
    path("metering-points/<int:pk>/readings.csv", points.readings_csv, name="readings_csv"),
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
    path("ledger/", ledger.ledger, name="ledger"),
    path("ledger/<command_id:command_id>/", ledger.record, name="record"),
    path("ledger/<command_id:command_id>/seal/", ledger.seal, name="seal"),
    path("fleet/", fleet.fleet, name="fleet"),
    path("fleet/<int:pk>/", fleet.box, name="fleet_box"),
    path("fleet/alarms/<int:pk>/seen/", fleet.seen, name="alarm_seen"),
    path("account/", account.account, name="account"),
    path("account/notices/", account.notices, name="notices"),
    path("people/", people.people, name="people"),
    path("people/<int:pk>/confirm/", people.confirm, name="confirm_member"),
    path("people/<int:pk>/refuse/", people.refuse, name="refuse_member"),
    path("people/<int:pk>/end/", people.end, name="end_member"),
    path("invitations/<str:token>/", people.invitation, name="invitation"),
]
