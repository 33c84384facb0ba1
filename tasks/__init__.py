"""One file per stage: read artifacts, call plain functions, publish one artifact."""
