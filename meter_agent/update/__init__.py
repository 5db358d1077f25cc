"""A new release of this program: signed, fetched, unpacked beside the old one, and tried by the launcher."""
