"""What is not code: data and weights from packages, and readers of foreign files that execute nothing."""
