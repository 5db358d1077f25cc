from apps.accounts.models.parties import Membership, Party, PartyKey
from apps.accounts.models.users import User, UserManager

__all__ = ["Membership", "Party", "PartyKey", "User", "UserManager"]
