"""The copying stage written with other frameworks; each file runs in an environment of its own (environments.py)."""
