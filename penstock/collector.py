"""Python's cyclic garbage collector, settled for processes that work in batches.

The client makes a list and a tuple per header for every record, and a batch of 5,000 keeps all of them for a moment.
With Python's defaults that moment looks like a leak: the young generation is searched every 700 objects, and the whole
process, modules and all, about once a batch. What a batch leaves behind goes by reference counts alone.
"""

import gc

EVERY_OBJECTS = 100_000
"""More than a batch of 5,000 records keeps at once; a cycle waits until so many objects more than before are alive."""


def settle() -> None:
    """To be called once, when everything is loaded: what is there now is never searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(EVERY_OBJECTS, 10, 10)
