"""Functions with known answers that need libraries: ``lab selftest --scale --corpus benchmarks/corpus``."""
