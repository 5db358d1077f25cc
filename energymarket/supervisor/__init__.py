"""Starts, watches and stops the servers and workers of a local installation."""
