from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import apps.ledger.fields


def as_their_party(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Every key so far came with the registration of its party."""
    keys = apps.get_model("accounts", "PartyKey").objects.select_related("party")
    changed = []
    for key in keys.iterator():
        key.command_id, key.ledger_state = key.party.command_id, key.party.ledger_state
        key.ledger_code = key.party.ledger_code
        changed.append(key)
    keys.model.objects.bulk_update(changed, ["command_id", "ledger_state", "ledger_code"], batch_size=1000)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_membership_consent"),
    ]

    operations = [
        migrations.AddField(
            "partykey",
            "command_id",
            apps.ledger.fields.IdField(editable=False, null=True, unique=True, verbose_name="command"),
        ),
        migrations.AddField(
            "partykey",
            "ledger_state",
            models.CharField(
                choices=[
                    ("pending", "waiting for the ledger"),
                    ("confirmed", "on the ledger"),
                    ("rejected", "rejected by the ledger"),
                ],
                default="pending",
                editable=False,
                max_length=10,
                verbose_name="on the ledger",
            ),
        ),
        migrations.AddField(
            "partykey",
            "ledger_code",
            models.PositiveSmallIntegerField(editable=False, null=True, verbose_name="rejected because"),
        ),
        # Processes of the version before go on adding keys while this one is rolled out.
        migrations.RunSQL(
            "ALTER TABLE accounts_partykey ALTER COLUMN ledger_state SET DEFAULT 'pending'", migrations.RunSQL.noop
        ),
        migrations.RunPython(as_their_party, migrations.RunPython.noop),
    ]
