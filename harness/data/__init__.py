"""Datasets: who is private, who is public, and which picture may be used for what."""
