"""Model-inversion attacks, one a file, each named as in its paper."""
