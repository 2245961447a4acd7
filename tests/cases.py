"""x"""
import os
def scale(count: int) -> int:
    """A count of random trials, multiplied by MLCORE_TEST_SCALE."""
    return max(1, int(count * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))
