"""Programs of other libraries that do the same work. Each runs as a process of its own, from its file."""
