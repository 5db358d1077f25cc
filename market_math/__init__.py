"""Clearing, allocation, rating and netting: plain functions on integers and arrays of them. No Django, no I/O."""
