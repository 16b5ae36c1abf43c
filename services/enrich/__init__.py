"""Enrichment: what an event's text says about itself. Today its language."""
