from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STATES = [
    ("invited", "waiting for a yes"),
    ("confirmed", "confirmed"),
    ("refused", "refused"),
    ("ended", "ended"),
]


def person(label: str) -> Any:
    return models.ForeignKey(
        editable=False,
        null=True,
        on_delete=django.db.models.deletion.SET_NULL,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
        verbose_name=label,
    )


def instant(label: str) -> Any:
    return models.DateTimeField(editable=False, null=True, verbose_name=label)


class Migration(migrations.Migration):
    """Who acts for a party today goes on doing so; what a process of the version before adds meanwhile is invited."""

    dependencies = [
        ("accounts", "0002_party_membership_partykey_and_more"),
    ]

    operations = [
        migrations.AddField(
            "party",
            "email",
            models.EmailField(
                blank=True,
                db_default="",
                default="",
                help_text="As the party itself gave it. Whoever holds it says who is the first to act for the party.",
                max_length=254,
                verbose_name="e-mail address",
            ),
        ),
        migrations.AddField(
            "membership",
            "state",
            models.CharField(
                choices=STATES, db_default="confirmed", editable=False, max_length=10, verbose_name="state"
            ),
        ),
        migrations.AlterField(
            "membership",
            "state",
            models.CharField(
                choices=STATES,
                db_default="invited",
                default="invited",
                editable=False,
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AddField(
            "membership",
            "own_household",
            models.BooleanField(
                db_default=False, default=False, editable=False, verbose_name="own household of a clerk"
            ),
        ),
        migrations.AddField("membership", "invited_by", person("asked by")),
        migrations.AddField("membership", "invited_at", instant("asked")),
        migrations.AddField("membership", "decided_by", person("decided by")),
        migrations.AddField("membership", "decided_at", instant("decided")),
        migrations.AddField("membership", "ended_by", person("ended by")),
        migrations.AddField("membership", "ended_at", instant("ended")),
        migrations.RemoveConstraint("membership", "accounts_membership_once"),
        migrations.AddConstraint(
            "membership",
            models.UniqueConstraint(
                condition=models.Q(("state__in", ["invited", "confirmed"])),
                fields=("user", "party", "role"),
                name="accounts_membership_once",
            ),
        ),
    ]
