"""Measurements, one a file."""
