"""What the app costs, measured on the machine at hand: ``python -m benchmarks``. Never part of the tests."""
