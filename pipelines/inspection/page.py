"""Tells the numbers of an inspection: as tables for a terminal, and as a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BAD_FILES = "Bad files"
_MOST_ROWS = 1000  # of a table on the page; report.json has all
_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?%?|-")


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        title: its name.
        columns: names of the columns.
        rows: cells as text.
        note: what must be known to read it.
        colours: one `#rrggbb` a row, where the rows are classes.
        shown: rows that a terminal shows.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    colours: tuple[str, ...] = ()
    shown: int = 12


def printable(text: str) -> str:
    """Returns a text that any terminal and any file can hold: names of files can have any bytes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def findings(report: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each thing that is worth a look."""
    said = []
    files = len(report["bad_files"])
    said.append(f"{files:,} bad {_files(files)}, see the list." if files else "No bad files.")
    if empty := [split for split, found in report["splits"].items() if found["pairs"] == found["bad_pairs"]]:
        said.append(f"No good pair is left in {' and '.join(empty)}; training would refuse that.")
    for split, found in report["splits"].items():
        if 0 < found["looked_at"] < found["pairs"] - found["bad_pairs"]:
            said.append(f"Only {found['looked_at']:,} of {found['pairs']:,} {split} pairs were read and compared.")
    if report["sampled"]["pairs"]:
        said += [*_duplicate_findings(report), *_side_findings(report)]
        small = sum(row["pairs"] for rows in report["sizes"].values() for row in rows if row["enlarged"])
        if small:
            said.append(f"{small:,} pairs have a picture smaller than what they are trained at; they are enlarged.")
    elif not report["can_leave_out"]:
        said.append("The pairs can't be read before that is mended, so nothing else was measured.")
    return said


def _duplicate_findings(report: Mapping[str, Any]) -> Iterator[str]:
    found = report["duplicates"]
    for split, count in found["also_in_train"].items():
        total = report["splits"][split]["looked_at"]
        if count:
            yield f"{count:,} of {total:,} {split} pairs are in train, too, or nearly so: scores on {split} flatter."
    if not found["across"]:
        yield "No pair is in two splits, nor nearly so."
    if found["within"]:
        yield f"{len(found['within']):,} duplicates or near-duplicates within a split."


def _side_findings(report: Mapping[str, Any]) -> Iterator[str]:
    for side, seen in report["sides"].items():
        constant = [channel["name"] for channel in seen["channels"] if channel["std"] == 0]
        if constant and seen["encoding"]["kind"] != "labels":
            yield f"The {side} never changes in channel {', '.join(constant)}."
        classes = seen["classes"]
        if not classes:
            continue
        if absent := [entry["name"] for entry in classes["classes"] if entry["share"] == 0]:
            yield f"Of the {side}'s classes the sample never shows {', '.join(absent)}."
        if not classes["given"]:
            count = len(classes["classes"])
            yield f"The {side} looks like a label map of {count} colours: --one-hot shows it as {count} channels."
        if classes["off_palette"] > 0.01:
            yield (
                f"{classes['off_palette']:.1%} of the {side}'s pixels have none of the palette's colours, as JPEG does;"
                f" {classes['far_off_palette']:.2%} are far from all of them."
            )


def tables(report: Mapping[str, Any]) -> list[Table]:
    """Returns the numbers of a report as tables."""
    splits = report["splits"].items()
    counts = [(name, f"{s['pairs']:,}", f"{s['bad_pairs']:,}", f"{s['looked_at']:,}") for name, s in splits]
    found = [Table("Pairs", ("split", "pairs", "bad", "looked at"), counts)]
    if report["sampled"]["pairs"]:
        found.append(_sizes(report))
        found.append(_channels(report))
        found += [_classes(side, seen["classes"]) for side, seen in report["sides"].items() if seen["classes"]]
        duplicates = report["duplicates"]
        more = "" if duplicates["complete"] else " There are more; they were not counted."
        for place, title in (("across", "Duplicates across splits"), ("within", "Duplicates within a split")):
            note = f"Both sides correlate by {duplicates['least']:.2f} or more, or all pixels are the same.{more}"
            entries = duplicates[place]
            rows = [(_alike(entry), entry["pairs"][0], ", ".join(entry["pairs"][1:])) for entry in entries]
            found.append(Table(title, ("alike", "pair", "and"), rows, note))
    if report["faults"]:
        lines = [(line,) for line in report["faults"]]
        found.append(Table(BAD_FILES, ("file and fault",), lines, shown=50))
    return found


def _alike(entry: Mapping[str, Any]) -> str:
    return "same" if entry["exact"] else f"{min(entry['similarity'], 0.999):.3f}"


def _sizes(report: Mapping[str, Any]) -> Table:
    rows = []
    for split, sizes in report["sizes"].items():
        for row in sizes:
            image, target = row["input"], row["target"]
            size = image if image == target else f"{image}, target {target}"
            rows.append((split, size, f"{row['pairs']:,}", row["becomes"]))
    made = report["preprocessing"]
    height, width, enlarged = made["height"], made["width"], report["enlarged"]
    note = f"Height x width. In training they become {enlarged}, of which a random {height}x{width} is cut out."
    return Table("Sizes", ("split", "input", "pairs", f"to {height}x{width}"), rows, note if made["jitter"] else "")


def _channels(report: Mapping[str, Any]) -> Table:
    rows = []
    for side, seen in report["sides"].items():
        for channel in seen["channels"]:
            numbers = (f"{channel[name]:.3f}" for name in ("mean", "std", "min", "max"))
            rows.append((side, channel["name"], *numbers))
    kinds = []
    for side, seen in report["sides"].items():
        encoding = seen["encoding"]
        one = f"{encoding['channels']} channel" + "s" * (encoding["channels"] != 1)
        kinds.append(f"{side}: {encoding['kind']}, from files of {one}, {encoding['bits']} bits")
    sampled = report["sampled"]
    note = f"As a network sees them, over {sampled['pairs']:,} pairs of {sampled['split']}. {'; '.join(kinds)}."
    return Table("Channels", ("side", "channel", "mean", "std", "min", "max"), rows, note, shown=16)


def _classes(side: str, found: Mapping[str, Any]) -> Table:
    classes = found["classes"]
    rows = [(entry["colour"], entry["name"], f"{entry['share']:.2%}") for entry in classes]
    note = f"Shares of the files' pixels, over {found['pairs']:,} pairs; each counts for its nearest colour."
    note += f" Off the palette: {found['off_palette']:.2%}." if found["given"] else " The colours found in the files."
    colours = tuple(entry["colour"] for entry in classes)
    return Table(f"Classes of the {side}", ("colour", "class", "share"), rows, note, colours, 64)


def as_text(report: Mapping[str, Any]) -> str:
    """Returns what a terminal shows."""
    parts = []
    for table in tables(report):
        if not table.rows:
            parts.append(f"{table.title}: none")
            continue
        cells = [tuple(map(printable, row)) for row in table.rows[: table.shown]]
        widths = [max(map(len, column)) for column in zip(table.columns, *cells, strict=True)]
        lines = [table.title, "  " + "  ".join(map(_padded, table.columns, table.columns, widths)).rstrip()]
        for row in cells:
            lines.append("  " + "  ".join(map(_padded, row, row, widths)).rstrip())
        if len(table.rows) > table.shown:
            lines.append(f"  and {len(table.rows) - table.shown:,} more")
        if table.note:
            lines.append("  " + printable(table.note))
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, "\n".join(printable(line) for line in findings(report))])


def _padded(text: str, cell: str, width: int) -> str:
    return text.rjust(width) if _NUMBER.fullmatch(cell) else text.ljust(width)


def as_html(report: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns a page that needs nothing but the pictures beside it.

    Args:
        report: the numbers.
        pictures: what is said of each picture, by the name of its file.
    """
    title = _escaped(f"{report['dataset']}, inspected")
    said = "".join(f"<li>{_escaped(line)}</li>" for line in findings(report))
    figures = "".join(
        f"<h2>{_escaped(text)}</h2>"
        f'<div class="wide"><a href="{name}"><img src="{name}" alt="{_escaped(text)}"></a></div>'
        for name, text in pictures.items()
    )
    shown = {table.title: _html_table(table) for table in tables(report)}
    bad = shown.pop(BAD_FILES, "")  # what to do something about comes first
    head = f"<h1>{title}</h1><p>{_escaped(report['how'])}</p><ul>{said}</ul>"
    return _PAGE.format(title=title, body=head + bad + figures + "".join(shown.values()))


def _html_table(table: Table) -> str:
    if not table.rows:
        return f"<h2>{_escaped(table.title)}</h2><p>None.</p>"
    head = "".join(f"<th>{_escaped(name)}</th>" for name in table.columns)
    rows = []
    for number, row in enumerate(table.rows[:_MOST_ROWS]):
        cells = [f"<td{' class=n' if _NUMBER.fullmatch(cell) else ''}>{_escaped(cell)}</td>" for cell in row]
        if table.colours:
            cells[0] = f'<td><i style="background:{table.colours[number]}"></i>{table.colours[number]}</td>'
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = len(table.rows) - _MOST_ROWS
    note = table.note + (f" And {more:,} more, in report.json." if more > 0 else "")
    return (
        f'<h2>{_escaped(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div><p>{_escaped(note)}</p>"
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _files(count: int) -> str:
    return "file" if count == 1 else "files"


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --quiet: #5d5d5d; --line: #ddd; --head: #f4f4f4; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #161616; --ink: #e8e8e8; --quiet: #a3a3a3; --line: #3a3a3a; --head: #222; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 75rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; margin: .5rem 0; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .5rem; }}
p {{ margin: .3rem 0; color: var(--quiet); }}
ul {{ padding-left: 1.2rem; }}
.wide {{ overflow-x: auto; }}
img {{ display: block; max-width: max(100%, 45rem); height: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }}
th {{ background: var(--head); white-space: nowrap; }}
td.n {{ text-align: right; white-space: nowrap; }}
i {{ display: inline-block; width: 1em; height: 1em; margin-right: .5em; border: 1px solid var(--line);
  vertical-align: -.1em; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
