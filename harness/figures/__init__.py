"""From measurements to rows: values with intervals, and what several judges make of them together. Knows no torch."""
