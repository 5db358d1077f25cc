from django.db import models
from django.utils.translation import gettext_lazy as _

from ledger_adapters.contract.records import Custody, Role


class PartyKind(models.TextChoices):
    PERSON = "person", _("person")
    ORGANISATION = "organisation", _("organisation")


class PartyRole(models.IntegerChoices):
    """What a party is on the ledger."""

    UTILITY = Role.UTILITY, _("utility")
    COMMUNITY = Role.COMMUNITY, _("community")
    CUSTOMER = Role.CUSTOMER, _("customer")
    METERING_OPERATOR = Role.METERING_OPERATOR, _("metering operator")
    GRID_OPERATOR = Role.GRID_OPERATOR, _("grid operator")
    AUDITOR = Role.AUDITOR, _("auditor")


class MemberRole(models.TextChoices):
    """What a person may do in the name of a party."""

    MEMBER = "member", _("acts for it")
    STAFF = "staff", _("works for the utility")
    AUDITOR = "auditor", _("may look, not touch")
    INSTALLER = "installer", _("installs meter boxes for the utility")


class MemberState(models.TextChoices):
    """Whether the party said yes to it. Only a confirmed member acts."""

    INVITED = "invited", _("waiting for a yes")
    CONFIRMED = "confirmed", _("confirmed")
    REFUSED = "refused", _("refused")
    ENDED = "ended", _("ended")


class KeyCustody(models.IntegerChoices):
    OWN = Custody.OWN, _("kept by its owner")
    CUSTODIAL = Custody.CUSTODIAL, _("kept by the platform")
