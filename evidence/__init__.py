"""The frozen forms: encoding, digests, signatures, trees, bundles and their verifier. No Django, no database."""
