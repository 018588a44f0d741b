"""Reports: what is to be seen of predictions, as one page or as plots. Knows no model."""
