"""How fast the core and the app are on this machine: ``python -m benchmarks``. Not part of the tests."""
