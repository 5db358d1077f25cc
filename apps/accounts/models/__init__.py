from apps.accounts.models.clients import ApiClient
from apps.accounts.models.parties import Membership, Party, PartyKey
from apps.accounts.models.users import User, UserManager

__all__ = ["ApiClient", "Membership", "Party", "PartyKey", "User", "UserManager"]
