"""Programs that speak to the API in the name of a utility."""

import hashlib
import secrets
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models.parties import Party
from apps.accounts.models.users import User
from apps.ledger.fields import IdField

PREFIX = "em_"


def token_hash(token: str) -> bytes:
    # 256 random bits: a slow hash would protect nothing.
    return hashlib.sha256(token.encode()).digest()


class ApiClient(models.Model):
    """A program of a utility or of its metering operator. Only the hash of its token is kept."""

    utility = models.ForeignKey(Party, verbose_name=_("utility"), on_delete=models.PROTECT, related_name="api_clients")
    name = models.CharField(
        _("name"), max_length=100, help_text=_("Which system this is, for whoever reads the history.")
    )
    token_hash = IdField(unique=True, editable=False)
    created_by = models.ForeignKey(
        User, verbose_name=_("made by"), null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    class Meta:
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def new_token(self) -> str:
        """Give the client a token; it is seen here and never again."""
        token = PREFIX + secrets.token_urlsafe(32)
        self.token_hash = token_hash(token)
        return token
