"""Results in, static page out. Knows no torch and no plugin."""
