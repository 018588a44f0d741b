"""Studies: many recipes that differ in little, trained with folds and seeds, and compared in one table."""
