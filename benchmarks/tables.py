"""Writes the tables between the markers of documents, from `benchmarks/results`.

    python benchmarks/tables.py docs/performance.md
    python benchmarks/tables.py --check docs/performance.md

A table stands between `<!-- results FILE.json -->` (or `bfloat16`, or `inference`) and `<!-- end of results -->`. It
can be of some machines alone: `<!-- results FILE.json EPYC -->`. `--check` writes nothing, and its exit status is 1 if
a document isn't what the results say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import results

FOLDER = Path(__file__).parent / "results"
_MARKED = re.compile(r"(<!-- (results|bfloat16|inference) (\S+)( \S+)? -->\n).*?(<!-- end of results -->)", re.DOTALL)
_TABLES = {"results": results.summary, "bfloat16": results.half_precision, "inference": results.inference}


def rendered(text: str) -> str:
    """Returns a document with its tables made from the results."""

    def tables(match: re.Match[str]) -> str:
        start, kind, file, machine, end = match.groups()
        found = json.loads((FOLDER / file).read_text(encoding="utf-8"))
        shown = [result for result in found if (machine or "").strip() in result["machine"]]
        return f"{start}\n{_TABLES[kind](shown)}\n{end}"

    return _MARKED.sub(tables, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("documents", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="compare only")
    flags = parser.parse_args()
    different = []
    for document in flags.documents:
        before = document.read_text(encoding="utf-8")
        if (after := rendered(before)) != before:
            different.append(document)
            if not flags.check:
                document.write_text(after, encoding="utf-8")
    for document in different:
        print(f"{document} {'differs from the results' if flags.check else 'is updated'}")
    return int(bool(different) and flags.check)


if __name__ == "__main__":
    sys.exit(main())
