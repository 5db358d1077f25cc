"""The ledger over REST. It stands here since who may read a record depends on what the record is about.

Bytes are unpadded base64url and integers decimal strings, as in evidence bundles. `?ledger=` names a ledger of
`LEDGERS`; without it the default one is meant.
"""
