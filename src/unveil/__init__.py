"""unveil: audit how much of its private training data an image classifier gives away."""

from importlib.metadata import version

__version__ = version("unveil")
