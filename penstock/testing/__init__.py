"""For tests: Kafka in memory, on simulated time, and builders for what goes through it."""

from penstock.testing.broker import MemoryBroker
from penstock.testing.cluster import Cluster, Timings
from penstock.testing.virtual_time import VirtualTimeLoop, run_in_virtual_time

__all__ = ["Cluster", "MemoryBroker", "Timings", "VirtualTimeLoop", "run_in_virtual_time"]
