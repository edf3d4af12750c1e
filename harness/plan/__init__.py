"""From a plan file to nodes: the file, the plugins that it names, and what makes a question the same question."""
