from typing import Any

from django.db import migrations, models


def anchors_before(apps: Any, schema_editor: Any) -> None:
    """A settlement was made from all that was anchored for its day when it was computed."""
    settlement, anchor = apps.get_model("settlement", "Settlement"), apps.get_model("metering", "Anchor")
    through = settlement.anchors.through
    for pk, area, day, at in settlement.objects.values_list("pk", "area", "day", "created_at").iterator():
        before = anchor.objects.filter(area=area, day=day, created_at__lte=at)
        through.objects.bulk_create(
            [through(settlement_id=pk, anchor_id=found) for found in before.values_list("pk", flat=True)]
        )


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0002_readings"),
        ("settlement", "0002_allocations"),
    ]

    operations = [
        migrations.AddField(
            model_name="settlement",
            name="anchors",
            field=models.ManyToManyField(
                related_name="settlements",
                to="metering.anchor",
                verbose_name="anchors of the readings that it was made from",
            ),
        ),
        migrations.RunPython(anchors_before, migrations.RunPython.noop),
    ]
