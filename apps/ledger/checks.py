"""What is wrong with `LEDGERS` as far as the settings alone show it: nothing is made, opened or asked."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from apps.ledger.ledgers import DEFAULT, options_of
from apps.ledger.models import Stream
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.exceptions import BadKeys, Misconfigured
from ledger_adapters.keys import KeyFolder

MEMBERS = {"BACKEND", "OPTIONS", "OPTIONS_FILE"}
LONGEST_ALIAS: int = Stream._meta.get_field("ledger").max_length or 0


@dataclass(frozen=True, slots=True)
class Found:
    """A ledger whose options are as they must be: what tells it from others, and the folder of its keys."""

    place: object
    keys: Path | None


def check_ledgers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    ledgers = settings.LEDGERS
    messages: list[CheckMessage] = []
    if not isinstance(ledgers, dict) or DEFAULT not in ledgers:
        hint = f"LEDGERS is a dictionary as CACHES is, and {DEFAULT!r} one of its names."
        return [Error(f"LEDGERS has no ledger named {DEFAULT!r}.", hint=hint, id="ledger.E001")]
    found: dict[str, Found] = {}
    for alias, configured in ledgers.items():
        if len(alias) > LONGEST_ALIAS:
            hint = f"A name in LEDGERS has at most {LONGEST_ALIAS} characters."
            messages.append(Error(f"The name {alias!r} is too long.", hint=hint, id="ledger.E002"))
        one = _check(alias, configured)
        if isinstance(one, CheckMessage):
            messages.append(one)
        else:
            found[alias] = one
    return [*messages, *_shared(found)]


def _check(alias: str, configured: Any) -> Found | CheckMessage:
    where = f"LEDGERS[{alias!r}]"
    backend = _backend(where, configured)
    if isinstance(backend, CheckMessage):
        return backend
    try:
        options = options_of(configured)
    except ImproperlyConfigured as error:
        hint = "ENERGYMARKET_LEDGER_OPTIONS names the JSON file with the options of this installation's ledger."
        return Error(str(error), hint=hint, id="ledger.E004")
    folder = Path(options["KEYS"]) if options.get("KEYS") else None
    try:
        place = backend.check_options(alias, options)
        if folder is not None:
            KeyFolder(folder).check(backend.keys)
    except BadKeys as error:
        hint = f"KEYS in the options of {where} names a folder with private keys that only this user may open."
        return Error(str(error), hint=hint, id="ledger.E006")
    except Misconfigured as error:
        hint = (
            f"See the options of {where}: {'OPTIONS and OPTIONS_FILE' if 'OPTIONS_FILE' in configured else 'OPTIONS'}."
        )
        return Error(str(error), hint=hint, id="ledger.E005")
    return Found((backend, place), folder.resolve() if folder else None)


def _backend(where: str, configured: Any) -> type[LedgerAdapter] | CheckMessage:
    hint = f"{where}['BACKEND'] is the dotted path of a ledger adapter; beside it stand OPTIONS and OPTIONS_FILE."
    if not isinstance(configured, dict) or not isinstance(configured.get("BACKEND"), str):
        return Error(f"{where} names no backend.", hint=hint, id="ledger.E003")
    if surplus := set(configured) - MEMBERS:
        return Error(f"{where} has unknown members: {', '.join(sorted(surplus))}.", hint=hint, id="ledger.E003")
    try:
        backend = import_string(configured["BACKEND"])
    except ImportError as error:
        return Error(f"{where}: {error}", hint=hint, id="ledger.E003")
    if not isinstance(backend, type) or not issubclass(backend, LedgerAdapter):
        return Error(f"{where}: {configured['BACKEND']} is no ledger adapter.", hint=hint, id="ledger.E003")
    return backend


def _shared(found: Mapping[str, Found]) -> Iterator[CheckMessage]:
    """A ledger serves one utility: two names share neither a ledger nor keys."""
    for aliases in _together({alias: one.keys for alias, one in found.items() if one.keys}):
        hint = "Give each of them a folder of its own in KEYS."
        yield Error(f"The ledgers {aliases} share their keys.", hint=hint, id="ledger.E007")
    for aliases in _together({alias: one.place for alias, one in found.items()}):
        hint = "Give each of them a SCHEMA, contract or channel of its own, or remove one from LEDGERS."
        yield Error(f"The ledgers {aliases} are one and the same.", hint=hint, id="ledger.E008")


def _together(things: Mapping[str, object]) -> Iterator[str]:
    """Names that stand for the same thing, as one text."""
    names: dict[object, list[str]] = defaultdict(list)
    for name, thing in things.items():
        names[thing].append(repr(name))
    yield from (" and ".join(shared) for shared in names.values() if len(shared) > 1)
