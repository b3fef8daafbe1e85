-- What the role that batchops runs as may do; docs/how-to/administrator.md tells how the two roles are made.
-- Run by the owner after each migrate:
--   psql "$OWNER_URL" --set ON_ERROR_STOP=1 --file deploy/postgresql/grants.sql
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO batchops;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO batchops;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO batchops;

-- The audit trail is added to and read. What is archived is removed by a function of the owner.
REVOKE ALL ON batchops_auditentry, batchops_audithead, django_migrations FROM batchops;
GRANT SELECT, INSERT ON batchops_auditentry TO batchops;
GRANT SELECT, UPDATE ON batchops_audithead TO batchops;
GRANT SELECT ON django_migrations TO batchops;
GRANT EXECUTE ON FUNCTION audit_remove_archived(bigint) TO batchops;
