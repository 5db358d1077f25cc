"""What changes people, parties and their keys."""
