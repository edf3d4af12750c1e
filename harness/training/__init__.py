"""Trains a classifier under any stack of defenses."""
