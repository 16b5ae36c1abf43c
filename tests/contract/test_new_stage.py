"""The example in CONTRIBUTING.md: a stage and its test. What stands there is what runs here."""

import re
from pathlib import Path

CONTRIBUTING = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


def test_the_example_of_a_new_stage_runs_as_printed() -> None:
    examples = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    (example,) = [text for text in examples if "class Shout" in text]
    names: dict[str, object] = {}
    exec(example, names)  # noqa: S102  our own documentation
    test = names["test_a_shout_is_loud_and_a_tombstone_is_dead"]
    assert callable(test)
    test()
