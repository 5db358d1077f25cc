"""Tell, and send."""
