from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def check(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Nobody but a person can say which of two utilities a ledger belongs to."""
    utilities = apps.get_model("accounts", "Party").objects.filter(utility=None)
    shared = utilities.values("ledger").annotate(count=models.Count("pk")).filter(count__gt=1)
    for each in shared:
        names = ", ".join(utilities.filter(ledger=each["ledger"]).order_by("pk").values_list("name", flat=True))
        raise ValueError(
            f"the ledger {each['ledger']!r} serves {each['count']} utilities ({names}): a ledger serves one. Give each of"
            " the others a ledger of its own in LEDGERS and in the column `ledger` of its parties, then migrate again"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_party_keys_on_the_ledger"),
    ]

    operations = [
        migrations.RunPython(check, migrations.RunPython.noop),
        migrations.AddConstraint(
            "party",
            models.UniqueConstraint(
                condition=models.Q(("utility", None)), fields=("ledger",), name="accounts_one_utility_per_ledger"
            ),
        ),
    ]
