"""The paper's comparisons: every row of a table trained and evaluated, beside the paper's numbers."""
