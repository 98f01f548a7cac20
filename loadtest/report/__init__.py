"""What a run has to say: JSON file, page, summary on the terminal, and the comparison of two runs."""
