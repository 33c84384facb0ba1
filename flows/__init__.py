"""Flows: entry points and the order in which stages run. Flows handle references to artifacts, never arrays."""
