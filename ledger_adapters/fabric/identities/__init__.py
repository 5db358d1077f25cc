"""Identities from a Fabric CA: enrolled, registered, renewed while the market runs, revoked.

The authority is asked through hfc (fabric-sdk-py), whose protobuf messages and pinned packages are not ours: it runs in
a process and a virtual environment of its own (requirements/hfc.txt). See docs/adr/0010-what-of-hfc-serves.md.
"""

from .authority import Attribute, Authority, Information, Issued, Reason, Registered, Revoked
from .enrolment import enrol, is_due, renew
from .exceptions import HfcFailed, Refused, Unreachable
from .folder import IdentityFolder

__all__ = [
    "Attribute",
    "Authority",
    "HfcFailed",
    "IdentityFolder",
    "Information",
    "Issued",
    "Reason",
    "Refused",
    "Registered",
    "Revoked",
    "Unreachable",
    "enrol",
    "is_due",
    "renew",
]
