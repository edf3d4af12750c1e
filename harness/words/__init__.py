"""The vocabulary: what datasets, models, defenses, priors, attacks, metrics and steps say to each other."""
