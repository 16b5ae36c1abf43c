"""The house keeps the rules of scripts/law.py, and a breach of each is seen."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.scripts import load

ROOT = Path(__file__).resolve().parents[2]
NOQA = "# no" + "qa"
IGNORE = "# type: ig" + "nore"
PACKAGES = "pypi" + ".org"
FOLDER = "/wor" + "k/"


@pytest.fixture(scope="module")
def law() -> ModuleType:
    return load("law")


def test_the_house_keeps_the_law() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "law.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_breach_fails_the_check_and_is_named(
    law: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "clock.py").write_text("import time\n")
    monkeypatch.setattr(law, "ROOT", tmp_path)
    law.main()
    (tmp_path / "clock.py").write_text(f"import time  {NOQA}\n")
    with pytest.raises(SystemExit, match=r"^clock\.py:1: .* silences everything") as end:
        law.main()
    assert end.value.code not in (0, None)


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("services/dedup/handler.py", "from confluent_kafka import Consumer", "takes Consumer"),
        ("penstock/cli/tail.py", "from confluent_kafka import Message, Producer", "takes Producer"),
        ("penstock/ledger/count.py", "import confluent_kafka", "takes confluent_kafka"),
        ("services/sink/rows.py", "from confluent_kafka.aio import AIOConsumer", "takes AIOConsumer"),
        ("penstock/schema/topics.py", "from confluent_kafka import SerializingProducer as P", "takes Serializing"),
        ("README.md", f"pip install --index-url https://{PACKAGES}/simple penstock", "the registry"),
        ("requirements/run.txt", "aiohttp @ https://example.org/aiohttp.whl", "a lock holds no address"),
        ("requirements/run.txt", "--extra-index-url=packages", "a lock holds no address"),
        ("penstock/local/jars.lock", "kafka https://example.org/kafka.jar", "a lock holds no address"),
        ("docs/tour.md", f"cd {FOLDER}penstock", "a folder of one machine"),
        ("tests/conftest.py", "HOME = '/home/" + "ann/penstock'", "a folder of one machine"),
        ("services/dedup/__main__.py", "import sys\n" * 20, "21 lines, 20 at most"),
        ("penstock/utils.py", "", "says nothing"),
        ("services/sink/common/rows.py", "", "says nothing"),
        ("tests/unit/_helpers.py", "", "says nothing"),
        ("scripts/make.py", f"import os  {NOQA}", "silences everything"),
        ("scripts/make.py", f"import os  {NOQA} : because", "silences everything"),
        ("scripts/make.py", f"# ruff: {NOQA[2:]}", "silences everything"),
        ("scripts/make.py", f"import os  {IGNORE}", "silences everything"),
        ("scripts/make.py", "# mypy: ignore" + "-errors", "for a whole file"),
    ],
)
def test_a_breach_is_seen(law: ModuleType, path: str, text: str, what: str) -> None:
    found = list(law.broken(path, text + "\n"))
    assert len(found) == 1
    assert found[0].startswith(path)
    assert what in found[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("penstock/stream/kafka.py", "from confluent_kafka import Consumer"),
        ("penstock/ledger/kafka_reader.py", "from confluent_kafka import Consumer"),
        ("loadtests/copy_stage.py", "from confluent_kafka import Consumer, Producer"),
        ("penstock/schema/topics.py", "from confluent_kafka import KafkaError"),
        ("samples/README.md", f"https://{PACKAGES}"),
        ("README.md", "https://example.org" + FOLDER),
        ("services/dedup/__main__.py", "import sys\n" * 19),
        ("penstock/common_words.py", ""),
        ("scripts/make.py", f"import os  {NOQA}: F401  for its effect\nx = 1  {IGNORE}[attr-defined]  # untyped"),
        ("scripts/make.py", f'text = "{NOQA}"'),
    ],
)
def test_what_keeps_the_law_is_left_in_peace(law: ModuleType, path: str, text: str) -> None:
    assert list(law.broken(path, text + "\n")) == []
