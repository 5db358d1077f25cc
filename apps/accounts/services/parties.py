"""Register parties, with a key that the platform keeps for those without a wallet."""

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.choices import KeyCustody, PartyKind, PartyRole
from apps.accounts.custody import open_secret, seal
from apps.accounts.models import Party, PartyKey
from apps.ledger.exceptions import Declined
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.enqueue import enqueue
from evidence.commands.kinds import RegisterParticipant
from evidence.contents import contents
from evidence.keys import Algorithm, SoftwareKey


@transaction.atomic
def register_party(
    *, name: str, role: PartyRole = PartyRole.CUSTOMER, utility: Party | None = None, **details: str
) -> Party:
    """Store a party with a custodial key and ask the ledger to register its pseudonym.

    A new utility gets a ledger that serves none yet. Raises `Declined` when there is none.
    """
    kind = details.pop("kind", PartyKind.PERSON if role == PartyRole.CUSTOMER else PartyKind.ORGANISATION)
    party = Party(name=name, role=role, utility=utility, kind=kind, **details)
    party.ledger = utility.ledger if utility else _free_ledger()
    party.full_clean(exclude=["command_id", "ledger_id", "salt"])
    party.save()
    key, stored = _new_key(party)
    party.command_id = enqueue(
        RegisterParticipant(
            party.ledger_id,
            role,
            key.algorithm,
            key.public_key.x,
            key.public_key.y,
            KeyCustody.CUSTODIAL,
            party_contents(party),
        ),
        ledger=party.ledger,
    )
    party.save(update_fields=["command_id"])
    stored.command_id = party.command_id
    stored.save(update_fields=["command_id"])
    return party


def _free_ledger() -> str:
    """A ledger serves one utility: two would have the same market, and nobody could say whose an entry is."""
    taken = set(Party.objects.filter(utility=None).values_list("ledger", flat=True))
    free = [alias for alias in settings.LEDGERS if alias not in taken]
    if not free:
        raise Declined(_("Every ledger of this installation serves a utility already: add one to LEDGERS first."))
    return DEFAULT if DEFAULT in free else free[0]


def party_contents(party: Party) -> bytes:
    """The digest of who a party is, as its registration on the ledger shows it."""
    members = ("name", "street", "postal_code", "city", "country", "tax_id")
    return contents(party.salt, {name: getattr(party, name) for name in members})


def _new_key(party: Party) -> tuple[SoftwareKey, PartyKey]:
    key = SoftwareKey.generate(Algorithm.P256)
    stored = PartyKey.objects.create(
        party=party,
        key_id=key.public_key.id,
        algorithm=key.algorithm,
        x=key.public_key.x,
        y=key.public_key.y,
        custody=KeyCustody.CUSTODIAL,
        sealed_secret=seal(key.secret),
    )
    return key, stored


def signer_of(party: Party) -> SoftwareKey:
    """The key that the platform keeps for a party. Raises `PartyKey.DoesNotExist` when the party keeps its own."""
    stored = party.keys.get(ended_at=None, custody=KeyCustody.CUSTODIAL)
    return SoftwareKey(Algorithm(stored.algorithm), open_secret(bytes(stored.sealed_secret or b"")))
