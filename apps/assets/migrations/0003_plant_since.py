import datetime as dt
from typing import Any

from django.db import migrations, models
from django.db.models import Min, OuterRef, Subquery


def since_first_occupancy(apps: Any, schema_editor: Any) -> None:
    """A plant that was there before is measured for as long as its metering point has been occupied."""
    plants = apps.get_model("assets", "Plant").objects
    occupancies = apps.get_model("assets", "Occupancy").objects.filter(point=OuterRef("point"))
    first = occupancies.values("point").annotate(first=Min("since")).values("first")
    plants.filter(point__occupancies__isnull=False).update(since=Subquery(first))


class Migration(migrations.Migration):
    dependencies = [
        ("assets", "0002_trade_days"),
    ]

    operations = [
        migrations.AddField(
            model_name="plant",
            name="since",
            field=models.DateField(
                default=dt.date(1970, 1, 1),
                help_text="The first day for which its generation is measured.",
                verbose_name="since",
            ),
            preserve_default=False,
        ),
        migrations.RunPython(since_first_occupancy, migrations.RunPython.noop),
    ]
