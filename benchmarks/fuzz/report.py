"""Findings as files, statistics as a table."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.fuzz.campaign import Result
from benchmarks.fuzz.worker import Finding


def statistics(results: Iterable[Result]) -> str:
    """A row for each target: inputs, what became of them, the dearest ones."""
    lines = [f"{'target':<11}{'inputs':>9}{'a second':>10}{'longest':>9}{'memory':>9}  answers"]
    for result in results:
        answers: Counter[str] = sum((tally.answers for tally in result.tallies), Counter())
        longest = max((tally.longest_seconds for tally in result.tallies), default=0.0)
        most = max((tally.most_bytes for tally in result.tallies), default=0)
        rate = answers.total() / max(result.seconds, 1e-9)
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in answers.most_common())
        lines.append(
            f"{result.target:<11}{answers.total():>9,}{rate:>10.0f}{longest:>7.2f} s{most >> 20:>5} MiB  {kinds}"
        )
    return "\n".join(lines)


def save(finding: Finding, folder: Path) -> Path:
    """Write a finding's input, and beside it what happened; returns the input's file."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = re.sub(r"\W+", "-", finding.kind).strip("-").lower()
    file = folder / f"{finding.target}-{kind}-{hashlib.sha256(finding.data).hexdigest()[:8]}"
    file.write_bytes(finding.data)
    file.with_suffix(".txt").write_text(f"{finding.target}: {finding.kind}\n{finding.detail}\n")
    return file
