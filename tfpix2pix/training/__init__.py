"""Training: networks and loss terms, the loop around their steps, and what a run writes."""
