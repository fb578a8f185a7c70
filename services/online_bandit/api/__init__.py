"""The decision API: a request's context to an action, drawn from exactly the logged probabilities."""
