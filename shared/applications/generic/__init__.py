"""The application that is all YAML: named features, a list of actions, a numeric reward."""
