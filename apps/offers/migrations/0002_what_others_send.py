from django.db import migrations


class Migration(migrations.Migration):
    """What the ledger applied counts at once, also while it has yet to refuse what waits here: see the models."""

    dependencies = [
        ("offers", "0001_initial"),
    ]

    operations = [
        migrations.RemoveConstraint("declaration", "offers_not_more_than_declared"),
        migrations.RemoveConstraint("offer", "offers_not_oversold"),
    ]
