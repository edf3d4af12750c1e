"""The generators that attacks search."""
