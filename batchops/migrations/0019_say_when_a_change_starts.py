from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("batchops", "0018_name_requested_values")]

    operations = [migrations.RenameField("change", "run_at", "starts_at")]
