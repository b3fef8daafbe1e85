"""A database that no longer refuses to alter the trail does not verify."""

from __future__ import annotations

import pytest
from django.db import connection

from batchops.services.proof.verification import verify
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

UNGUARDING = {
    "sqlite": {
        "a trigger that is gone": ["DROP TRIGGER audit_no_update"],
        "a trigger that does nothing": [
            "DROP TRIGGER audit_no_delete",
            f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON {trail.TABLE} WHEN 0 "
            "BEGIN SELECT 1; END",
        ],
        "a trigger of somebody else": [
            f"CREATE TRIGGER hide AFTER INSERT ON {trail.TABLE} BEGIN SELECT 1; END"
        ],
    },
    "postgresql": {
        "a trigger that is gone": [f"DROP TRIGGER audit_no_update ON {trail.TABLE}"],
        "a trigger switched off": [f"ALTER TABLE {trail.TABLE} DISABLE TRIGGER audit_no_delete"],
        "a function that does nothing": [
            "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NEW; END'"
        ],
        "a rule": [f"CREATE RULE hide AS ON DELETE TO {trail.TABLE} DO INSTEAD NOTHING"],
        "row security": [f"ALTER TABLE {trail.TABLE} ENABLE ROW LEVEL SECURITY"],
        "a table beneath": [f"CREATE TABLE beneath () INHERITS ({trail.TABLE})"],
        "another owner": [
            "CREATE ROLE somebody",
            f"ALTER TABLE {trail.TABLE} OWNER TO somebody",
        ],
        "triggers off for all": ["SET LOCAL session_replication_role = 'replica'"],
    },
}


@pytest.mark.parametrize("name", sorted(UNGUARDING[connection.vendor]))
def test_a_database_that_no_longer_refuses_is_a_fault(name: str) -> None:
    trail.fill(2)
    assert verify().is_good
    for statement in UNGUARDING[connection.vendor][name]:
        trail.run(statement)
    assert verify().outcome == "broken"
