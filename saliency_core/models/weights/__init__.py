"""Where weights come from: a package, your own file, or a checked download. No pickle is executed."""
