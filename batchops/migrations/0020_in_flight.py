from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("batchops", "0019_say_when_a_change_starts")]

    operations = [migrations.RenameField("change", "pace", "in_flight")]
