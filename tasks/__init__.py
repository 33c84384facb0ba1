"""Stages, one per file: each reads artifacts, calls plain functions, and publishes one artifact."""
