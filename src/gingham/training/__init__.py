"""Training: recipes, the loop, checkpoints that resume bit for bit, and the folder that a run leaves."""
