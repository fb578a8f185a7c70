"""Real data played through a whole loop over HTTP, with an audit at the end."""
