"""The speed of the core and the app on this machine: ``python -m benchmarks``. Not part of the tests."""
