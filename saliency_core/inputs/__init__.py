"""From a file or a folder to checked RGB pixels, and from those to a network's input."""
