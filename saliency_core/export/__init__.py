"""What is taken along of an explanation as data: arrays, tables, and the code that gives the same again."""
