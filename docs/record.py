#!/usr/bin/env python3
"""Makes a picture of a real run: runs a command in a terminal of its own, and draws what that showed as an SVG.

    python3 docs/record.py docs/pictures/deploy.svg -- target/debug/examples/deploy --format bar

The picture plays what changed, and then stands still on the last screen. `--text FILE` also writes that as text. Needs
`pyte`, a terminal in Python; without it the script makes an environment for it below `target`, once.
"""

import argparse
import fcntl
import html
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import venv
from pathlib import Path

PYTE = "pyte==0.8.2"
ENVIRONMENT = Path(__file__).resolve().parent.parent / "target" / "record"

# Size of a cell in units of the picture.
WIDE, HIGH, MARGIN = 8.4, 18, 14
INK, PAPER = "#d8dee9", "#20242c"
COLOURS = {
    "black": "#3b4252", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef",
    "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d8dee9", "brightblack": "#7f8794", "brightred": "#e06c75",
    "brightgreen": "#98c379", "brightyellow": "#e5c07b", "brightblue": "#61afef", "brightmagenta": "#c678dd",
    "brightcyan": "#56b6c2", "brightwhite": "#ffffff",
}


def main():
    options = parse()
    pyte = terminal()
    screen = pyte.HistoryScreen(options.columns, options.rows, history=10_000, ratio=0.5)
    frames, code = record(options.command, screen, pyte.ByteStream(screen), options)
    if code != options.code:
        screen = "\n".join(text_of(frames[-1][1]))
        sys.exit(f"{screen}\nthe command ended with exit code {code}, not with {options.code}")
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    options.picture.write_text(draw(frames, options), encoding="utf-8")
    if options.text:
        options.text.write_text("".join(line.rstrip() + "\n" for line in text_of(frames[-1][1])), encoding="utf-8")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("command", nargs="+", help="after --")
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--text", type=Path, help="where the last screen goes as text")
    parser.add_argument("--code", type=int, default=0, help="the exit code that the command is to end with")
    parser.add_argument("--title", help="what stands above the screen [default: the command]")
    parser.add_argument("--slower", type=float, default=1.0, help="how many times slower the picture plays")
    return parser.parse_args()


def terminal():
    """The module, from an environment of its own where the system has none."""
    try:
        import pyte
    except ImportError:
        if sys.prefix == str(ENVIRONMENT):
            raise
        if not (ENVIRONMENT / "bin" / "python").exists():
            venv.create(ENVIRONMENT, with_pip=True)
        python = str(ENVIRONMENT / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PYTE], check=True)
        os.execv(python, [python, *sys.argv])
    return pyte


def record(command, screen, stream, options):
    """The screens that differ, each with its time, and the exit code."""
    child, master = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(options.columns), LINES=str(options.rows))
        os.environ.pop("NO_COLOR", None)
        os.execvp(command[0], command)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", options.rows, options.columns, 0, 0))
    begun, frames = time.monotonic(), []
    while True:
        ready, _, _ = select.select([master], [], [], 0.05)
        try:
            data = os.read(master, 65536) if ready else b""
        except OSError:  # The other end is closed.
            break
        if ready and not data:
            break
        if data:
            stream.feed(data)
        elif frames and frames[-1][1] == snapshot(screen):
            continue
        # What comes within a twentieth of a second is one picture.
        if data and select.select([master], [], [], 0.02)[0]:
            continue
        frames.append((time.monotonic() - begun, snapshot(screen)))
    frames.append((time.monotonic() - begun, snapshot(screen)))
    return frames, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def snapshot(screen):
    """Each row as (text, ink, bold) pieces."""
    rows = []
    for row in range(screen.lines):
        pieces = []
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            style = (cell.fg, cell.bold)
            if pieces and pieces[-1][1:] == style:
                pieces[-1] = (pieces[-1][0] + cell.data, *style)
            else:
                pieces.append((cell.data, *style))
        rows.append(tuple(pieces))
    return tuple(rows)


def text_of(frame):
    lines = ["".join(text for text, *_ in row) for row in frame]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def draw(frames, options):
    distinct = [frame for nth, frame in enumerate(frames) if nth == 0 or frame[1] != frames[nth - 1][1]]
    used = max(len(text_of(frame)) for _, frame in distinct)
    width, height = options.columns * WIDE + 2 * MARGIN, (used + 1) * HIGH + 2 * MARGIN + 8
    title = options.title or " ".join(options.command)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' role="img" aria-label="{html.escape(title)}">',
        f"<title>{html.escape(title)}</title>",
        "<style>text{font:14px ui-monospace,Menlo,Consolas,monospace}"
        + timing(distinct, options.slower) + "</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 12}" fill="#7f8794">$ {html.escape(title)}</text>',
    ]
    for nth, (_, frame) in enumerate(distinct):
        parts.append(f'<g class="f" id="f{nth}">' + "".join(row(at, pieces) for at, pieces in enumerate(frame)) + "</g>")
    return "\n".join([*parts, "</svg>", ""])


def timing(frames, slower):
    """Each screen is seen from its own time to that of the next; the last one stays."""
    total = frames[-1][0] * slower + 0.1
    rules = [".f{visibility:hidden}", f"#f{len(frames) - 1}{{visibility:visible}}"]
    if len(frames) == 1:
        return "".join(rules)
    # Who wants no motion sees the last screen.
    rules.append("@media (prefers-reduced-motion:no-preference){")
    for nth, (since, _) in enumerate(frames):
        begin = 0 if nth == 0 else since * slower / total * 100
        is_last = nth + 1 == len(frames)
        end = 100 if is_last else frames[nth + 1][0] * slower / total * 100
        off = "" if is_last else f"{end:.2f}%,100%{{visibility:hidden}}"
        rules.append(
            f"@keyframes k{nth}{{0%{{visibility:{'visible' if nth == 0 else 'hidden'}}}"
            f"{begin:.2f}%{{visibility:visible}}{off}}}"
            f"#f{nth}{{animation:k{nth} {total:.2f}s step-end forwards}}"
        )
    return "".join(rules) + "}"


def row(at, pieces):
    """One line of text. What stands between two gaps begins where its first cell is, whatever the fonts make of the
    signs before it, and whatever becomes of blanks."""
    y, column, spans = MARGIN + 12 + (at + 1) * HIGH + 8, 0, []
    for text, ink, bold in pieces:
        style = f' fill="{COLOURS.get(ink, INK)}"' + (' font-weight="bold"' if bold else "")
        for words in re.finditer(r"\S+(?: \S+)*", text):
            shown = words.group()
            x = MARGIN + (column + words.start()) * WIDE
            length = f' textLength="{len(shown) * WIDE:.1f}"' if len(shown) > 1 else ""
            spans.append(f'<text x="{x:.1f}" y="{y}"{style}{length}>{html.escape(shown)}</text>')
        column += len(text)
    return "".join(spans)


if __name__ == "__main__":
    main()
