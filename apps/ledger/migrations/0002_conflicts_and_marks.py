from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="lane",
            name="conflicts",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="cursor",
            name="mark",
            field=models.BinaryField(default=bytes),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="result",
            field=models.CharField(
                choices=[
                    ("running", "running"),
                    ("accepted", "accepted"),
                    ("transient", "ledger not reached"),
                    ("unknown", "outcome unknown"),
                    ("conflict", "not applied, to be sent anew"),
                    ("failed", "refused as a whole"),
                ],
                default="running",
                max_length=10,
            ),
        ),
    ]
