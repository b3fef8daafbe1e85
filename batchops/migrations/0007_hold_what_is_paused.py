from django.db import migrations

# Of its change, if one of ours paused it last, and else of whoever the vendor names.
HOLD = """
INSERT INTO batchops_hold (batch_id, change_id, outside_name, placed_at)
SELECT batch.batch_id,
       batch.paused_by_id,
       CASE WHEN batch.paused_by_id IS NULL THEN SUBSTR(batch.last_updated_by, 1, 255) ELSE '' END,
       COALESCE(pause.started_at, batch.last_updated_at, batch.observed_at)
FROM batchops_batch AS batch
LEFT JOIN batchops_change AS pause ON pause.id = batch.paused_by_id
WHERE batch.paused
"""


class Migration(migrations.Migration):
    """What is paused already is held."""

    dependencies = [("batchops", "0006_holds_of_several_people")]

    operations = [migrations.RunSQL(HOLD, "DELETE FROM batchops_hold")]
