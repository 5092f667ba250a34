"""Own videos and the data sets of the field to the dataset layout."""
