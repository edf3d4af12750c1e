"""The number of the measuring protocol. Knows no torch."""

from __future__ import annotations

PROTOCOL = 1
"""What a headline figure means: which people are attacked, how judges learn and when they refuse, what counts as a
success, how figures of several judges become one, and how intervals are computed.

It is raised by whoever changes one of these so that the same pictures get another number. It is not raised for a new
attack, defense, metric or data set, for speed, or for what is shown. Figures of different protocols answer different
questions: no table ranks them together. Results from before there was a number have 0; they can be read and shown, and
nobody claims that they compare."""
