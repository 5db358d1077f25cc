from django.db import migrations, models

LAST = """
UPDATE metering_device SET last_sequence = found.last
FROM (SELECT device_id, max(sequence) AS last FROM metering_batch GROUP BY device_id) AS found
WHERE found.device_id = metering_device.id
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0005_quantities")]
    operations = [
        migrations.AddField(
            model_name="device",
            name="last_sequence",
            field=models.PositiveBigIntegerField(db_default=0, default=0, editable=False, verbose_name="last sequence"),
        ),
        migrations.RunSQL(LAST, migrations.RunSQL.noop),
    ]
