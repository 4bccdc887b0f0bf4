"""Photo sets: photos with the boxes or masks of their objects, read from the formats of the data sets."""
