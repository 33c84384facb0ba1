"""The command line: one file per group of commands, loaded without Prefect, torch or MLflow."""
