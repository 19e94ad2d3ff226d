"""Shows the numbers of an inspection: as tables for a terminal, and as a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.table
from rich.console import Console
from rich.text import Text

from pipelines import pages
from pipelines.pages import escaped, printable

BAD_FILES = "Bad files"
_MOST_ROWS = 1000  # of a table on the page; report.json has all
_NAMES_SHOWN = 3  # of the files that have one fault
_PACKAGE = "pipelines.inspection"


class Table(NamedTuple):
    """A table for people.

    Attributes:
        title: its name.
        columns: their names; a `#` before it, which isn't shown, marks a column of numbers.
        rows: cells as text.
        note: what must be known to read it.
        colours: one `#rrggbb` a row, where the rows are classes.
        shown: rows that a terminal shows.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    colours: Sequence[str] = ()
    shown: int = 12


def tables(report: Mapping[str, Any]) -> list[Table]:
    """Returns the numbers of a report as tables."""
    splits = report["splits"].items()
    counts = [(name, f"{s['pairs']:,}", f"{s['bad_pairs']:,}", f"{s['looked_at']:,}") for name, s in splits]
    found = [Table("Pairs", ("split", "#pairs", "#bad", "#looked at"), counts)]
    if report["sampled"]["pairs"]:
        found += [_sizes(report), _channels(report)]
        found += [_classes(name, side["classes"]) for name, side in report["sides"].items() if side["classes"]]
        duplicates = report["duplicates"]
        more = "" if duplicates["complete"] else " There are more; they were not counted."
        for place, title in (("across", "Duplicates across splits"), ("within", "Duplicates within a split")):
            note = f"Both sides correlate by {duplicates['least']:.2f} or more, or all pixels are the same.{more}"
            rows = [(_alike(entry), entry["pairs"][0], ", ".join(entry["pairs"][1:])) for entry in duplicates[place]]
            found.append(Table(title, ("#alike", "pair", "and"), rows, note))
    if report["faults"]:
        found.append(_faults(report))
    return found


def _alike(entry: Mapping[str, Any]) -> str:
    return "same" if entry["exact"] else f"{min(entry['similarity'], 0.999):.3f}"


def _faults(report: Mapping[str, Any]) -> Table:
    groups: dict[str, list[str]] = {}
    for fault in report["faults"]:
        groups.setdefault(fault["reason"], []).append(fault["file"])
    rows = []
    for reason, files in sorted(groups.items(), key=lambda group: -len(group[1])):
        more = f" and {len(files) - _NAMES_SHOWN:,} more" if len(files) > _NAMES_SHOWN else ""
        rows.append((f"{len(files):,}", reason, ", ".join(files[:_NAMES_SHOWN]) + more))
    return Table(BAD_FILES, ("#files", "what is wrong", "which"), rows, "report.json names them all.")


def _sizes(report: Mapping[str, Any]) -> Table:
    rows = []
    for split, sizes in report["sizes"].items():
        for row in sizes:
            size = row["input"] if row["input"] == row["target"] else f"{row['input']}, target {row['target']}"
            rows.append((split, size, f"{row['pairs']:,}", row["becomes"]))
    made = report["preprocessing"]
    size = f"{made['height']}x{made['width']}"
    note = f"Height x width. In training they become {report['enlarged']}, of which a random {size} is cut out."
    return Table("Sizes", ("split", "input", "#pairs", f"to {size}"), rows, note if made["jitter"] else "")


def _channels(report: Mapping[str, Any]) -> Table:
    numbers = ("mean", "std", "min", "max")
    rows, kinds = [], []
    for name, side in report["sides"].items():
        rows += [(name, row["name"], *(f"{row[number]:.3f}" for number in numbers)) for row in side["channels"]]
        encoding = side["encoding"]
        channels = f"{encoding['channels']} channel{'s' * (encoding['channels'] != 1)} of {encoding['dtype']}"
        kinds.append(f"{name}: {encoding['kind']}, from files of {channels}")
    sampled = report["sampled"]
    note = f"As a network sees them, over {sampled['pairs']:,} pairs of {sampled['split']}. {'; '.join(kinds)}."
    return Table("Channels", ("side", "channel", *(f"#{number}" for number in numbers)), rows, note, shown=16)


def _classes(side: str, found: Mapping[str, Any]) -> Table:
    rows = [(entry["value"], entry["name"], f"{entry['share']:.2%}") for entry in found["classes"]]
    colours = [entry["colour"] for entry in found["classes"]]
    if not found["given"]:
        return Table(f"Values of the {side}", ("value", "class", "#share"), rows, "Those of the sample.", colours, 64)
    note = f"Each pixel of the sample counts for its nearest value. Off the palette: {found['off_palette']:.2%}."
    return Table(f"Classes of the {side}", ("value", "class", "#share"), rows, note, colours, 64)


def show(report: Mapping[str, Any]) -> None:
    """Prints the tables and the findings; as plain text, without breaking lines, where that isn't to a terminal."""
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else 10_000, force_terminal=terminal)

    def line(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style))

    for table in tables(report):
        if not table.rows:
            line(f"{table.title}: none", "bold")
        else:
            line(table.title, "bold")
            console.print(_rich_table(table))
            if len(table.rows) > table.shown:
                line(f"and {len(table.rows) - table.shown:,} more")
            if table.note:
                line(table.note, "dim")
        line("")
    line("Findings", "bold")
    for sentence in report["findings"]:
        line(f"- {sentence}")


def _rich_table(table: Table) -> rich.table.Table:
    drawn = rich.table.Table(box=None, padding=(0, 2, 0, 0), header_style="italic")
    for name in table.columns:
        drawn.add_column(Text(name.lstrip("#")), justify="right" if name[0] == "#" else "left", overflow="fold")
    for number, row in enumerate(table.rows[: table.shown]):
        cells = [Text(printable(cell)) for cell in row]
        if table.colours:
            cells[0] = Text.assemble(("  ", f"on {table.colours[number]}"), " ", cells[0])
        drawn.add_row(*cells)
    return drawn


def as_html(report: Mapping[str, Any], sheets: Mapping[str, str]) -> str:
    """Returns a page that needs nothing but the sheets beside it.

    Args:
        report: the numbers.
        sheets: the title of each sheet, by the name of its file.
    """
    shown = {table.title: _html_table(table) for table in tables(report)}
    bad = shown.pop(BAD_FILES, "")  # what to do something about comes first
    what, command = report["next"]
    style = pages.style(_PACKAGE, "report.css")
    return pages.fill(
        pages.resource(_PACKAGE, "page.html"),
        style=style,
        style_hash=pages.content_hash(style),
        title=escaped(f"Inspection of {report['dataset']}"),
        facts="".join(_fact(name, value) for name, value in report["preprocessing"].items()),
        findings="".join(f"<li>{escaped(line)}</li>" for line in report["findings"]),
        next=escaped(what),
        command=pages.escaped_command(command),
        bad=bad,
        sheets="".join(
            f'<section><h2>{escaped(text)}</h2><a class="sheet" href="{name}"><img src="{name}" alt="{escaped(text)}">'
            "</a></section>"
            for name, text in sheets.items()
        ),
        tables="".join(shown.values()),
    )


def _fact(name: str, value: Any) -> str:
    text = str(value) if not isinstance(value, bool) else "yes" if value else "no"
    return f"<div><dt>{escaped(name.replace('_', ' ').capitalize())}</dt><dd>{escaped(text)}</dd></div>"


def _html_table(table: Table) -> str:
    title = f"<h2>{escaped(table.title)}</h2>"
    if not table.rows:
        return f'<section>{title}<p class="quiet">None.</p></section>'
    kinds = [' class="number"' if name[0] == "#" else "" for name in table.columns]
    columns = zip(kinds, table.columns, strict=True)
    head = "".join(f'<th scope="col"{kind}>{escaped(name.lstrip("#"))}</th>' for kind, name in columns)
    rows = []
    for number, row in enumerate(table.rows[:_MOST_ROWS]):
        cells = [escaped(cell) for cell in row]
        if table.colours:
            # Not by a style, which the page's policy would have to allow.
            square = f'<rect width="1" height="1" fill="{escaped(table.colours[number])}"/>'
            cells[0] = f'<svg class="swatch" viewBox="0 0 1 1" aria-hidden="true">{square}</svg>{cells[0]}'
        line = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, cells, strict=True))
        rows.append(f"<tr>{line}</tr>")
    more = len(table.rows) - _MOST_ROWS
    note = table.note + (f" And {more:,} more, in report.json." if more > 0 else "")
    below = f'<p class="below quiet">{escaped(note)}</p>' if note else ""
    return (
        f'<section>{title}<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{below}</section>"
    )
