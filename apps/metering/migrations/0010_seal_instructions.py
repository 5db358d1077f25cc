from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from apps.accounts.custody import open_secret, seal


def seal_bodies(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    instructions = apps.get_model("metering", "Instruction").objects
    for instruction in instructions.iterator():
        instruction.sealed_body = seal(bytes(instruction.sealed_body))
        instruction.save(update_fields=["sealed_body"])


def open_bodies(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    instructions = apps.get_model("metering", "Instruction").objects
    for instruction in instructions.iterator():
        instruction.sealed_body = open_secret(bytes(instruction.sealed_body))
        instruction.save(update_fields=["sealed_body"])


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0009_fleet"),
    ]

    operations = [
        migrations.RenameField("instruction", "body", "sealed_body"),
        migrations.AlterField("instruction", "sealed_body", models.BinaryField(editable=False)),
        migrations.RunPython(seal_bodies, open_bodies, elidable=True),
    ]
