"""One file for each kind of step, and beside them what only steps use."""
