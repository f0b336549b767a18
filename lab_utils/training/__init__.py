"""Training, resuming and loading networks; features of frozen ones."""
