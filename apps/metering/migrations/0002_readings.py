"""The table of readings: partitioned by bucket (months since 1970-01 in UTC), without foreign keys in or out.

Partitions are made ahead of time by `apps.metering.readings.ensure_partitions`; what belongs to none goes to the default.
"""

from django.db import migrations

CREATE = """
CREATE TABLE metering_reading (
    slot bigint NOT NULL,
    value bigint NOT NULL,
    batch bigint NOT NULL,
    area integer NOT NULL,
    point integer NOT NULL,
    bucket smallint NOT NULL,
    register smallint NOT NULL,
    version smallint NOT NULL,
    quality smallint NOT NULL,
    PRIMARY KEY (area, bucket, point, register, slot, version)
) PARTITION BY RANGE (bucket);
CREATE TABLE metering_reading_default PARTITION OF metering_reading DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, "DROP TABLE metering_reading")]
