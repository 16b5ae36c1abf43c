"""What a profile counts: samples with something to do, by their innermost line."""

from loadtests.profile import busiest


def test_imports_and_waiting_threads_are_not_counted() -> None:
    stacks = [
        "<module> (copy.py:1);_find_and_load (<frozen importlib._bootstrap>:1176);compile (re.py:2) 500",
        "_bootstrap (threading.py:1002);Worker._serve (worker.py:66) 300",
        "_bootstrap (threading.py:1002);job (worker.py:44);produce (transactions.py:71) 30",
        "run (loop.py:3);produce (transactions.py:71) 30",
        "run (loop.py:3);fetch (group_reader.py:86) 40",
    ]
    assert busiest(stacks) == [(0.6, "produce (transactions.py:71)"), (0.4, "fetch (group_reader.py:86)")]
