"""What the HTTP services share: limits, keys, the rule for binding, the shape of errors."""
