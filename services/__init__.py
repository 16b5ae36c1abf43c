"""The stream processors: one folder, one process, one consumer group each."""
