"""People and organisations that take part in a market, who acts for them, and their signing keys."""

from dataclasses import replace
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import KeyCustody, MemberRole, MemberState, PartyKind, PartyRole
from apps.accounts.models.users import User
from apps.accounts.permissions import Scope, acting, in_force, works_for_utility
from apps.ledger.fields import IdField, random_id
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import OnLedger
from evidence.keys import PublicKey


class Party(OnLedger):
    """A participant. `ledger_id` is its pseudonym; who is behind it never leaves this table."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    utility = models.ForeignKey(
        "self", verbose_name=_("utility"), null=True, blank=True, on_delete=models.PROTECT, related_name="participants"
    )
    ledger = models.CharField(max_length=50, default=DEFAULT, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=PartyKind.choices, default=PartyKind.PERSON)
    role = models.PositiveSmallIntegerField(_("role"), choices=PartyRole.choices, default=PartyRole.CUSTOMER)
    name = models.CharField(_("name"), max_length=200)
    street = models.CharField(_("street and number"), max_length=200, blank=True)
    postal_code = models.CharField(_("postal code"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=2, default="DE")
    tax_id = models.CharField(_("tax number"), max_length=40, blank=True)
    email = models.EmailField(
        _("e-mail address"),
        blank=True,
        default="",
        db_default="",
        help_text=_("As the party itself gave it. Whoever holds it says who is the first to act for the party."),
    )
    salt = IdField(default=random_id, editable=False)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("party")
        verbose_name_plural = _("parties")
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(role=PartyRole.UTILITY, utility=None) | ~Q(role=PartyRole.UTILITY) & ~Q(utility=None),
                name="accounts_party_has_utility",
            ),
            models.UniqueConstraint(
                fields=["ledger"], condition=Q(utility=None), name="accounts_one_utility_per_ledger"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return Scope(self.utility_id or self.pk, frozenset({self.pk}))


class Membership(models.Model):
    """A person who acts for a party, or is asked to: staff ask, the party says yes."""

    user = models.ForeignKey(User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="memberships")
    party = models.ForeignKey(Party, verbose_name=_("party"), on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=MemberRole.choices, default=MemberRole.MEMBER)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=MemberState.choices,
        default=MemberState.INVITED,
        db_default=MemberState.INVITED,
        editable=False,
    )
    own_household = models.BooleanField(_("own household of a clerk"), default=False, db_default=False, editable=False)
    invited_by = models.ForeignKey(
        User, verbose_name=_("asked by"), null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    # Nobody was asked about those who were there from the beginning.
    invited_at = models.DateTimeField(_("asked"), null=True, editable=False)
    decided_by = models.ForeignKey(
        User, verbose_name=_("decided by"), null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)
    ended_by = models.ForeignKey(
        User, verbose_name=_("ended by"), null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "party", "role"],
                condition=Q(state__in=[MemberState.INVITED, MemberState.CONFIRMED]),
                name="accounts_membership_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.party}"

    @property
    def scope(self) -> Scope:
        """With the party's address while nobody acts for it: its holder then decides."""
        if self.state != MemberState.INVITED or acting(self.party.memberships.all()).exists():
            return self.party.scope
        return replace(self.party.scope, address=self.party.email)

    @property
    def is_in_force(self) -> bool:
        return in_force(Membership.objects.filter(pk=self.pk)).exists()

    @property
    def of_colleague(self) -> bool:
        """Whether the person works for the utility whose customer the party is."""
        mine = Membership.objects.filter(pk=self.pk)
        return mine.filter(works_for_utility(mine)).exists()


class PartyKey(OnLedger):
    """A signing key of a party, and the command that brought it: its registration or a rotation.

    A custodial key's secret is sealed with the installation's custody key.
    """

    party = models.ForeignKey(Party, on_delete=models.PROTECT, related_name="keys")
    key_id = IdField(unique=True, editable=False)
    algorithm = models.PositiveSmallIntegerField()
    x = IdField()
    y = IdField()
    custody = models.PositiveSmallIntegerField(_("custody"), choices=KeyCustody.choices)
    sealed_secret = models.BinaryField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["party"], condition=Q(ended_at=None), name="accounts_one_current_key")
        ]

    def __str__(self) -> str:
        return bytes(self.key_id).hex()[:16]

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.algorithm, bytes(self.x), bytes(self.y))
