"""Lets ``python -m unveil`` do what the ``unveil`` command does."""

from unveil.cli import main

if __name__ == "__main__":
    main()
