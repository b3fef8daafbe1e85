from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("batchops", "0016_call_syncs_and_pauses_by_their_names")]

    operations = [
        migrations.RenameField("batch", "drifted_at", "changed_externally_at"),
        migrations.RenameField("change", "releasing_count", "expanding_count"),
        migrations.RenameField("changeitem", "releases", "expands_outreach"),
        migrations.RenameField("changeitem", "unasked", "unrequested"),
    ]
