"""Where everything that was computed once is kept, so that it is never computed again."""
