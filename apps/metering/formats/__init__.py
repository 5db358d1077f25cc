"""The files in which others send readings. Each module reads one kind, in bounded memory, into `base.Content`."""
