"""The loops that `bench/throughput.py` sets side by side."""
