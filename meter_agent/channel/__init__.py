"""The channel that a box opens to its utility: it asks what to do, does it once, and says what it did."""
