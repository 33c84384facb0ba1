"""Reports: tables in the terminal, the HTML page, and comparisons of rounds."""
