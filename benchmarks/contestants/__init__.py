"""One module per library that is timed; `worker.py` runs one of them in a process of its own."""
