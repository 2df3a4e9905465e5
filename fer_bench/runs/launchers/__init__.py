"""Launchers: ways to work off a list of runs. They talk to runs only through the store and events."""
