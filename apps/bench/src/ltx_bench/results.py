"""The file that measurements are kept in: one JSON object, written anew after every measurement."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Record = dict[str, Any]

OURS = "ltx-mlx"
"""The implementation that this project is."""


class Results:
    """Runs of benchmarks, with what each was made on, and their records.

    Attributes:
        runs: name of a run -> its machine, scale and time.
        records: one for each item and implementation that was measured.
    """

    def __init__(self, path: Path) -> None:
        """Goes on with the file if it is there."""
        self.path = path
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.runs: dict[str, Record] = held.get("runs", {})
        self.records: list[Record] = held.get("records", [])

    def begin(self, run: Record) -> str:
        """A new run; returns its name."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        name = now
        while name in self.runs:
            name += "'"
        self.runs[name] = {"time": now, **run}
        self._write()
        return name

    def add(self, record: Record) -> None:
        """Keep a record. It takes the place of an earlier one of the same run, item and implementation."""
        self.records = [held for held in self.records if _key(held) != _key(record)] + [record]
        self._write()

    def _write(self) -> None:
        beside = self.path.with_name(f".{self.path.name}.part")
        beside.write_text(
            json.dumps({"runs": self.runs, "records": self.records}, indent=1) + "\n", encoding="utf-8"
        )
        os.replace(beside, self.path)


def _key(record: Record) -> tuple[str, str, str]:
    return record["run"], record["item"], record["implementation"]


def read(paths: Sequence[Path]) -> tuple[dict[str, Record], list[Record]]:
    """Runs and records of several files."""
    runs: dict[str, Record] = {}
    records: list[Record] = []
    for path in paths:
        results = Results(path)
        runs |= results.runs
        records += results.records
    return runs, records
