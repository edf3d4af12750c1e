"""The report of an audit of one given model, for whoever answers for the people it was trained on. Knows no torch."""
