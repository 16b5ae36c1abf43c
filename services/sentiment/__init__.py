"""Sentiment: how an event's text feels."""
