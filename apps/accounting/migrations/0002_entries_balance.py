"""The database itself refuses, at commit, an entry whose postings do not sum to zero."""

from django.db import migrations

CREATE = """
CREATE FUNCTION accounting_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT coalesce(sum(nano), 0) FROM accounting_posting WHERE entry_id = coalesce(NEW.entry_id, OLD.entry_id)) <> 0
    THEN
        RAISE EXCEPTION 'the postings of entry % do not sum to zero', coalesce(NEW.entry_id, OLD.entry_id)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER accounting_entry_balances AFTER INSERT OR UPDATE OR DELETE ON accounting_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION accounting_check_balance();
"""
DROP = """
DROP TRIGGER accounting_entry_balances ON accounting_posting;
DROP FUNCTION accounting_check_balance();
"""


class Migration(migrations.Migration):
    dependencies = [("accounting", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
