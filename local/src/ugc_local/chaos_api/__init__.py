"""Faults made around the real API, and whether all it acknowledged is in Kafka."""
