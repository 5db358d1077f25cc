"""Participants, plants and devices: who they are, whose they are, and which keys speak for them."""

from dataclasses import replace
from itertools import pairwise

from evidence.commands.kinds import (
    ChangeDeviceState,
    ChangeParticipantState,
    ChangePlantState,
    RegisterDevice,
    RegisterParticipant,
    RegisterPlant,
    RevokeDeviceKey,
    RotateDeviceKey,
    RotateParticipantKey,
    TransferDevice,
    TransferPlant,
)
from evidence.hashing import ZERO
from evidence.keys import Algorithm, BadKey, PublicKey
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.kind import Context, Kind, Signatory, View, require
from ledger_adapters.contract.records import (
    Custody,
    Device,
    Domain,
    Participant,
    Plant,
    Role,
    State,
    UsedKey,
)

SECONDS_PER_DAY = 86_400


def participant_domain(participant: bytes) -> bytes:
    return Domain.key(Participant.TABLE, participant)


def plant_domain(plant: bytes) -> bytes:
    return Domain.key(Plant.TABLE, plant)


def device_domain(device: bytes) -> bytes:
    return Domain.key(Device.TABLE, device)


def active_participant(view: View, participant: bytes) -> Participant:
    found = view.get(Participant, (participant,), Code.PARTICIPANT_UNKNOWN)
    require(found.state == State.ACTIVE, Code.PARTICIPANT_INACTIVE)
    return found


def active_device(view: View, device: bytes) -> Device:
    found = view.get(Device, (device,), Code.DEVICE_UNKNOWN)
    require(found.state == State.ACTIVE, Code.DEVICE_INACTIVE)
    return found


def person(view: View, participant: bytes) -> Signatory:
    """A participant's registered key. One on the wallets' curve is a wallet."""
    found = view.get(Participant, (participant,), Code.PARTICIPANT_UNKNOWN)
    return Signatory(found.public_key, is_wallet=found.algorithm == Algorithm.SECP256K1)


def _check_key(algorithm: int, x: bytes, y: bytes) -> PublicKey:
    key = PublicKey(algorithm, x, y)
    try:
        key.check_point()
    except BadKey:
        raise ContractError(Code.BAD_KEY) from None
    return key


def _check_state(current: int, new: int) -> None:
    """Closed is for ever; anything else may become anything else."""
    require(new in list(State) and new != current and current != State.CLOSED, Code.BAD_STATE)


def _register_participant(fields: RegisterParticipant, view: View, context: Context) -> None:
    require(view.find(Participant, fields.participant) is None, Code.ALREADY_REGISTERED)
    require(fields.role in list(Role), Code.BAD_ROLE)
    require(fields.custody in list(Custody), Code.BAD_CUSTODY)
    _check_key(fields.algorithm, fields.x, fields.y)
    view.put(
        Participant(fields.role, State.ACTIVE, fields.algorithm, fields.x, fields.y, fields.custody, fields.contents),
        fields.participant,
    )


def _change_participant_state(fields: ChangeParticipantState, view: View, context: Context) -> None:
    found = view.get(Participant, (fields.participant,), Code.PARTICIPANT_UNKNOWN)
    _check_state(found.state, fields.state)
    view.put(replace(found, state=fields.state), fields.participant)


def _rotate_participant_key(fields: RotateParticipantKey, view: View, context: Context) -> None:
    found = active_participant(view, fields.participant)
    require(fields.custody in list(Custody), Code.BAD_CUSTODY)
    key = _check_key(fields.algorithm, fields.x, fields.y)
    require(key != found.public_key, Code.SAME_KEY)
    view.put(
        replace(found, algorithm=fields.algorithm, x=fields.x, y=fields.y, custody=fields.custody),
        fields.participant,
    )


def _register_plant(fields: RegisterPlant, view: View, context: Context) -> None:
    active_participant(view, fields.owner)
    require(view.find(Plant, fields.plant) is None, Code.ALREADY_REGISTERED)
    view.put(
        Plant(fields.area, fields.owner, fields.point, State.ACTIVE, fields.power_w, fields.since, fields.contents),
        fields.plant,
    )


def _transfer_plant(fields: TransferPlant, view: View, context: Context) -> None:
    active_participant(view, fields.next_owner)
    found = view.get(Plant, (fields.plant,), Code.PLANT_UNKNOWN)
    require(found.state == State.ACTIVE, Code.PLANT_INACTIVE)
    require(found.owner == fields.owner, Code.NOT_THE_OWNER)
    view.put(replace(found, owner=fields.next_owner), fields.plant)


def _change_plant_state(fields: ChangePlantState, view: View, context: Context) -> None:
    found = view.get(Plant, (fields.plant,), Code.PLANT_UNKNOWN)
    _check_state(found.state, fields.state)
    view.put(replace(found, state=fields.state), fields.plant)


def _register_device(fields: RegisterDevice, view: View, context: Context) -> None:
    active_participant(view, fields.owner)
    require(view.find(Device, fields.device) is None, Code.ALREADY_REGISTERED)
    require(all(a < b for a, b in pairwise(fields.points)), Code.NOT_ASCENDING)
    key = _check_key(fields.algorithm, fields.x, fields.y)
    view.put(UsedKey(context.time), fields.device, key.id)
    view.put(
        Device(
            owner=fields.owner,
            state=State.ACTIVE,
            algorithm=fields.algorithm,
            x=fields.x,
            y=fields.y,
            since_day=0,
            revoked_at=0,
            old_algorithm=0,
            old_x=ZERO,
            old_y=ZERO,
            old_since_day=0,
            grace_until=0,
            old_revoked_at=0,
            contents=fields.contents,
        ),
        fields.device,
    )


def _transfer_device(fields: TransferDevice, view: View, context: Context) -> None:
    active_participant(view, fields.next_owner)
    found = active_device(view, fields.device)
    require(found.owner == fields.owner, Code.NOT_THE_OWNER)
    view.put(replace(found, owner=fields.next_owner), fields.device)


def _change_device_state(fields: ChangeDeviceState, view: View, context: Context) -> None:
    found = view.get(Device, (fields.device,), Code.DEVICE_UNKNOWN)
    _check_state(found.state, fields.state)
    view.put(replace(found, state=fields.state), fields.device)


def _used_key(fields: RegisterDevice | RotateDeviceKey) -> bytes:
    return UsedKey.key(fields.device, PublicKey(fields.algorithm, fields.x, fields.y).id)


def _device_key(fields: RotateDeviceKey, view: View, context: Context) -> tuple[Signatory, ...]:
    return (Signatory(view.get(Device, (fields.device,), Code.DEVICE_UNKNOWN).public_key),)


def _rotate_device_key(fields: RotateDeviceKey, view: View, context: Context) -> None:
    found = active_device(view, fields.device)
    require(not found.revoked_at, Code.KEY_REVOKED)
    key = _check_key(fields.algorithm, fields.x, fields.y)
    require(view.find(UsedKey, fields.device, key.id) is None, Code.SAME_KEY)
    require(fields.day >= found.since_day, Code.OUTSIDE_KEY_TIME)
    in_grace = found.old_key is not None and not found.old_revoked_at and context.time <= found.grace_until
    require(not in_grace, Code.GRACE_RUNNING)
    view.put(UsedKey(context.time), fields.device, key.id)
    view.put(
        replace(
            found,
            algorithm=fields.algorithm,
            x=fields.x,
            y=fields.y,
            since_day=fields.day,
            old_algorithm=found.algorithm,
            old_x=found.x,
            old_y=found.y,
            old_since_day=found.since_day,
            grace_until=context.time + fields.grace_days * SECONDS_PER_DAY,
            old_revoked_at=0,
        ),
        fields.device,
    )


def _revoke_device_key(fields: RevokeDeviceKey, view: View, context: Context) -> None:
    found = view.get(Device, (fields.device,), Code.DEVICE_UNKNOWN)
    if fields.key == found.public_key.id:
        require(not found.revoked_at, Code.KEY_ALREADY_REVOKED)
        view.put(replace(found, revoked_at=context.time), fields.device)
    elif found.old_key and fields.key == found.old_key.id:
        require(not found.old_revoked_at, Code.KEY_ALREADY_REVOKED)
        view.put(replace(found, old_revoked_at=context.time), fields.device)
    else:
        raise ContractError(Code.KEY_UNKNOWN)


KINDS = (
    Kind(
        RegisterParticipant,
        domain=lambda f: participant_domain(f.participant),
        reads=lambda f: (Participant.key(f.participant),),
        rule=_register_participant,
        by_utility=True,
    ),
    Kind(
        ChangeParticipantState,
        domain=lambda f: participant_domain(f.participant),
        reads=lambda f: (Participant.key(f.participant),),
        rule=_change_participant_state,
        by_utility=True,
    ),
    Kind(
        RotateParticipantKey,
        domain=lambda f: participant_domain(f.participant),
        reads=lambda f: (Participant.key(f.participant),),
        rule=_rotate_participant_key,
        signers=lambda f, view, context: (person(view, f.participant),),
    ),
    Kind(
        RegisterPlant,
        domain=lambda f: plant_domain(f.plant),
        reads=lambda f: (Plant.key(f.plant), Participant.key(f.owner)),
        rule=_register_plant,
        by_utility=True,
    ),
    Kind(
        TransferPlant,
        domain=lambda f: plant_domain(f.plant),
        reads=lambda f: (Plant.key(f.plant), Participant.key(f.owner), Participant.key(f.next_owner)),
        rule=_transfer_plant,
        signers=lambda f, view, context: (person(view, f.owner), person(view, f.next_owner)),
    ),
    Kind(
        ChangePlantState,
        domain=lambda f: plant_domain(f.plant),
        reads=lambda f: (Plant.key(f.plant),),
        rule=_change_plant_state,
        by_utility=True,
    ),
    Kind(
        RegisterDevice,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device), Participant.key(f.owner), _used_key(f)),
        rule=_register_device,
        by_utility=True,
    ),
    Kind(
        TransferDevice,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device), Participant.key(f.owner), Participant.key(f.next_owner)),
        rule=_transfer_device,
        signers=lambda f, view, context: (person(view, f.owner), person(view, f.next_owner)),
    ),
    Kind(
        ChangeDeviceState,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device),),
        rule=_change_device_state,
        by_utility=True,
    ),
    Kind(
        RotateDeviceKey,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device), _used_key(f)),
        rule=_rotate_device_key,
        signers=_device_key,
        by_utility=True,
    ),
    Kind(
        RevokeDeviceKey,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device),),
        rule=_revoke_device_key,
        by_utility=True,
    ),
)
