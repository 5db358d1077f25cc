from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # There are as many attempts as transactions: they go on being written meanwhile.
    atomic = False

    dependencies = [
        ("ledger", "0004_replaced_bytes_and_costs"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(fields=["started_at"], name="ledger_attempt_started"),
        ),
    ]
