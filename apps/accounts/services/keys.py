"""Hand a party's signing over from one key to the next."""

from dataclasses import replace

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.choices import KeyCustody, PartyRole
from apps.accounts.models import Party, PartyKey
from apps.accounts.services.parties import signer_of
from apps.ledger.choices import LedgerState
from apps.ledger.consumers import Told
from apps.ledger.exceptions import Declined, Refused
from apps.ledger.intake import fields_of
from apps.ledger.ledgers import get_ledger
from apps.ledger.services.enqueue import LONGEST_WAIT, enqueue_signed
from evidence.commands import Command
from evidence.commands.kinds import RotateParticipantKey
from evidence.keys import PublicKey
from ledger_adapters.contract import Code


@transaction.atomic
def take_rotation(command: Command, ledger: str) -> None:
    """Let a key that its owner keeps speak for a party from now on.

    While the platform keeps the party's key, a rotation comes without a signature, and the platform signs it.
    """
    fields = fields_of(command, RotateParticipantKey)
    party = _locked(fields, ledger)
    current = party.keys.get(ended_at=None)
    if not current.is_confirmed:
        raise Declined(_("The key before this one still waits for the ledger."))
    if not command.signatures and current.custody == KeyCustody.CUSTODIAL:
        command = _signed_for(party, command)
    _succeed(party, fields, command.id, LedgerState.PENDING)
    enqueue_signed(command, ledger=ledger)


def adopt_rotation(told: Told) -> None:
    """The same for a rotation that is on the ledger already."""
    party = _locked(told.fields, told.ledger)
    _succeed(party, told.fields, told.id, LedgerState.CONFIRMED)


def take_back_rotation(told: Told) -> None:
    """The last key that the ledger knows speaks again."""
    PartyKey.objects.filter(command_id=told.id).delete()
    keys = PartyKey.objects.filter(party__ledger_id=told.fields.participant, party__ledger=told.ledger)
    if not keys.filter(ended_at=None).exists():
        last = keys.filter(ledger_state=LedgerState.CONFIRMED).order_by("-pk").values("pk")[:1]
        keys.filter(pk__in=last).update(ended_at=None)


def _signed_for(party: Party, command: Command) -> Command:
    """With an end, as all that the platform signs: a rejected command could else be sent again years later."""
    adapter = get_ledger(party.ledger)
    last = adapter.now() + LONGEST_WAIT
    ending = replace(command, valid_until=min(command.valid_until or last, last))
    return ending.signed_by(adapter.genesis().ledger, signer_of(party))


def _locked(fields: RotateParticipantKey, ledger: str) -> Party:
    party = Party.objects.select_for_update(no_key=True).filter(ledger_id=fields.participant, ledger=ledger).first()
    if party is None:
        raise Refused(Code.PARTICIPANT_UNKNOWN)
    if party.role in (PartyRole.UTILITY, PartyRole.METERING_OPERATOR):
        raise Declined(_("Readings that this party imported are checked against its first key: it cannot change."))
    if fields.custody != KeyCustody.OWN:
        raise Declined(_("A key that comes from outside is kept by its owner."))
    return party


def _succeed(party: Party, fields: RotateParticipantKey, command_id: bytes, state: LedgerState) -> None:
    """Put a new key in the place of the current one."""
    key = PublicKey(fields.algorithm, fields.x, fields.y)
    waiting = party.keys.filter(key_id=key.id, ledger_state=LedgerState.PENDING)
    if state == LedgerState.CONFIRMED and waiting.update(command_id=command_id, ledger_state=state):
        # It was asked for here as well, by a command that the ledger will refuse now.
        return
    if PartyKey.objects.filter(key_id=key.id).exists():
        raise Declined(_("This key was used before."))
    party.keys.filter(ended_at=None).update(ended_at=timezone.now())
    PartyKey.objects.create(
        party=party,
        key_id=key.id,
        algorithm=key.algorithm,
        x=key.x,
        y=key.y,
        custody=KeyCustody.OWN,
        command_id=command_id,
        ledger_state=state,
    )
