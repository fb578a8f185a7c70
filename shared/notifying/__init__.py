"""Telling people and other programs what happened: webhooks, Slack, e-mail; best effort, never in the way."""
