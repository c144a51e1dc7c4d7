"""Speed, side by side with the peers: `python -m benchmarks`. Timings are never tests."""
