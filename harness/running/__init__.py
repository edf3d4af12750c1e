"""Runs the nodes of a plan and puts together what they found."""
