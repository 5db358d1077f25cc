"""The table of allocations: who got which energy, per slot. Partitioned like the readings, without foreign keys."""

from django.db import migrations

CREATE = """
CREATE TABLE settlement_allocation (
    slot bigint NOT NULL,
    plant bigint NOT NULL,
    claim bigint NOT NULL,
    weight bigint NOT NULL,
    wh_limit bigint NOT NULL,
    allocated bigint NOT NULL,
    price bigint NOT NULL,
    area integer NOT NULL,
    point integer NOT NULL,
    settlement integer NOT NULL,
    bucket smallint NOT NULL,
    scheme smallint NOT NULL,
    PRIMARY KEY (area, bucket, settlement, point, scheme, plant, claim, slot)
) PARTITION BY RANGE (bucket);
CREATE INDEX settlement_allocation_given ON settlement_allocation (area, bucket, settlement, plant)
    WHERE scheme IN (5, 8);
CREATE TABLE settlement_allocation_default PARTITION OF settlement_allocation DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("settlement", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE settlement_allocation")]
