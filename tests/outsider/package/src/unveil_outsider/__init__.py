"""Plugins of somebody who is not part of unveil."""
