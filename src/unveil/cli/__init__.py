"""The ``unveil`` command. Nothing here imports torch before a command needs it."""

from unveil.cli.app import main

__all__ = ["main"]
