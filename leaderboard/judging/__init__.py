"""People who judge: a page on this machine that shows pairs of pictures, the answers, and what they come to."""
