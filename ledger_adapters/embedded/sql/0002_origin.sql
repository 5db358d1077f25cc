-- The ledger that an entry was taken over from; nothing for what took place here.
ALTER TABLE entry ADD COLUMN origin bytea NOT NULL DEFAULT '';
