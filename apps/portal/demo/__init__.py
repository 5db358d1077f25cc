"""The demonstration: a small market of its own, run by the same programs as a real one."""
