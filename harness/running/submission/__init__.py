"""Results that somebody hands in: what goes into a bundle of them, and what a check of one comes to."""
