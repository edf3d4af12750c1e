"""Classifiers that targets and evaluators are made of."""
