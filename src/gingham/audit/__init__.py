"""What a careful person would want to know of a labelled data set before anything is trained on it."""
