"""What each kind of node computes, one kind a file."""
