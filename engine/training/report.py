"""`report.html`: one file that shows how a run went, to be opened, mailed or printed years later.

Pictures are inside it, curves are SVG drawn here; nothing is loaded from anywhere, nothing is executed, and
what comes from a file is escaped. This file judges nothing: distances come from `engine/evaluation`.
Read next: `log.py` for where the curves come from, `pictures.py` for the grids.
"""

import base64
import json
import math
from datetime import timedelta
from html import escape
from pathlib import Path

import numpy as np

from inachus.engine.errors import CheckpointError
from inachus.engine.training import log
from inachus.engine.training.durable import write_file
from inachus.engine.training.pictures import spread

GRIDS = 13  # one large, twelve small
POINTS = 600  # of a drawn curve
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 270, 58, 14, 12, 34  # of a panel, in SVG units
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PROBABILITIES = ("D(x)", "D(G(z))")

ADVICE = """<p>The losses of a GAN are not a progress bar. Each network is graded against the other, so a
falling generator loss may mean a better generator or a weaker discriminator; flat, noisy curves are what a
good training looks like. Watch for a discriminator loss that sinks to zero and stays there: it has won, and
the generator learns nothing more.</p><p><b>D(x)</b> and <b>D(G(z))</b>, where a model logs them, are the
discriminator's mean verdicts on real and on generated data. Healthy is both well away from 0 and 1, D(x) the
higher one. D(x) near 1 and D(G(z)) near 0 for long: the discriminator is too strong. Both at exactly 0.5: it
cannot tell, or has stopped looking.</p><p>What counts is in the grids, which show the same noise at every
step, and in the distances to the data. Pictures that are sharp but all alike mean mode collapse, which no
loss curve shows.</p>"""

STYLE = """
:root { color-scheme: light dark;
  --paper: #fcfcfa; --card: #fff; --ink: #1d2129; --soft: #666e7a; --line: #e4e5e1;
  --s0: #2563b8; --s1: #d4622a; --s2: #2a8f64; --s3: #9250b0; --s4: #b8860b; --s5: #c2386b; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14161a; --card: #1b1e24; --ink: #e6e8ec; --soft: #98a0ac; --line: #30343c;
  --s0: #6ea8ff; --s1: #ff9a62; --s2: #5fcf9f; --s3: #cf95ea; --s4: #e3bd55; --s5: #ff85ad; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 4rem 1.5rem 6rem; background: var(--paper);
  color: var(--ink); font: 1.0625rem/1.65 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1, h2 { font-family: ui-serif, Georgia, "Times New Roman", serif; font-weight: 500; line-height: 1.15; }
h1 { font-size: clamp(2.2rem, 6vw, 3.6rem); margin: 0 0 2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.7rem; margin: 4rem 0 1.25rem; }
.over { margin: 0 0 .5rem; color: var(--soft); font-size: .95rem; }
dl { display: flex; flex-wrap: wrap; gap: 1.25rem 3rem; margin: 0; padding: 1.25rem 0;
  border: solid var(--line); border-width: 1px 0; }
dt { color: var(--soft); font-size: .85rem; text-transform: capitalize; }
dd { margin: 0; font-size: 1.25rem; overflow-wrap: anywhere; }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
figcaption { color: var(--soft); font-size: .9rem; margin-bottom: .6rem; }
figcaption b { color: var(--ink); font-weight: 600; margin-right: 1rem; }
figcaption span { white-space: nowrap; margin-right: 1rem; }
figcaption i { display: inline-block; width: 1.1em; height: .25em; border-radius: 1em; margin-right: .45em;
  vertical-align: .22em; background: var(--hue); }
img { display: block; width: 100%; height: auto; border-radius: .3rem; }
.wide, .many { display: grid; gap: 1.25rem; margin-bottom: 1.25rem; }
.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); align-items: start; }
.many { grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
svg .rule { stroke: var(--line); } svg path { fill: none; stroke: var(--hue); stroke-linejoin: round; }
svg .raw { stroke-width: 1; opacity: .35; } svg .mean { stroke-width: 2.4; stroke-linecap: round; }
.prose { max-width: 42rem; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .45rem 1.5rem .45rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 400; }
@media print { body { padding: 0; } figure { break-inside: avoid; } }
"""


def write(run: Path) -> Path:
    """Write `RUN/report.html` from options.json, log.jsonl, samples/*.png, samples.gif and metrics.json.

    What is not there is left out. Raises CheckpointError for a JSON file that cannot be read, ResourceError
    when the disk refuses.
    """
    run = Path(run)
    options, metrics, entries = _json(run / "options.json"), _json(run / "metrics.json"), log.read(run)
    panels = "".join(_panel(title, curves) for title, curves in _panels(_curves(entries)))
    name = escape(run.resolve().name)
    body = [
        _header(name, options if isinstance(options, dict) else {}, entries),
        _section("Pictures", _pictures(run)),
        _section("Curves", panels and f'<div class="wide">{panels}</div>'),
        _section("How to read these curves", panels and f'<div class="prose">{ADVICE}</div>'),
        _section("Distances", _table(metrics)),
        _section("Settings", _table(options)),
    ]
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name}, a training of Inachus</title>
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body>{"".join(body)}</body></html>
"""
    write_file(run / "report.html", page.encode(errors="replace"))
    return run / "report.html"


def _json(path):
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}); repair or remove it") from error


def _header(name, options, entries):
    last = entries[-1] if entries else {}
    done, planned = last.get("step", 0), options.get("steps")
    steps = f"{done:,} of {planned:,}" if isinstance(planned, int) and planned != done else f"{done:,}"
    seconds = last.get("seconds")
    timed = isinstance(seconds, int | float) and 0 <= seconds < 1e9
    facts = options | {"steps": steps, "time": str(timedelta(seconds=round(seconds))) if timed else None}
    shown = [key for key in ("model", "data", "steps", "seed", "time") if facts.get(key) is not None]
    items = "".join(f"<div><dt>{key}</dt><dd>{_text(facts[key])}</dd></div>" for key in shown)
    return f'<header><p class="over">Inachus training report</p><h1>{name}</h1><dl>{items}</dl></header>'


def _section(title, content):
    return f"<section><h2>{title}</h2>{content}</section>\n" if content else ""


# Pictures and tables


def _pictures(run):
    """The film and the last grid large, the grids on the way there small."""
    paths = sorted(path for path in run.glob("samples/*.png") if path.is_file())
    paths = [paths[index] for index in spread(len(paths), GRIDS)]
    film = run / "samples.gif"
    large = [_figure(film, "from first to last", "gif")] if film.is_file() else []
    large += [_figure(path, _caption(path)) for path in paths[-1:]]
    small = [_figure(path, _caption(path)) for path in paths[:-1]]
    rows = (("wide", large), ("many", small))
    return "".join(f'<div class="{kind}">{"".join(figures)}</div>' for kind, figures in rows if figures)


def _caption(path):
    return f"step {int(path.stem):,}" if path.stem.isdecimal() else path.stem


def _figure(path, caption, kind="png"):
    data, caption = base64.b64encode(path.read_bytes()).decode(), escape(caption)
    image = f'<img alt="generated samples, {caption}" src="data:image/{kind};base64,{data}">'
    return f"<figure><figcaption>{caption}</figcaption>{image}</figure>"


def _table(data):
    """A dictionary as two columns, nested ones with dotted names; a list of dictionaries as one row each."""
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        columns = list(dict.fromkeys(key for row in data for key in row))
        rows = ["".join(f"<td>{_text(row.get(key, ''))}</td>" for key in columns) for row in data]
        rows.insert(0, "".join(f"<th>{escape(key)}</th>" for key in columns))
    else:
        pairs = _flat(data) if isinstance(data, dict) else [("", data)] if data else []
        rows = [f"<th>{escape(key)}</th><td>{_text(value)}</td>" for key, value in pairs]
    return rows and f'<div class="scroll"><table>{"".join(f"<tr>{row}</tr>" for row in rows)}</table></div>'


def _flat(data, prefix=""):
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _text(value):
    if isinstance(value, float):
        return f"{value:.6g}"
    return escape(value if isinstance(value, str) else json.dumps(value))


# Curves


def _curves(entries):
    """{name: (steps, values)} of everything numeric in the log; null and infinity are NaN, a gap."""
    curves = {}
    for entry in entries:
        for name, value in entry.items():
            if name not in ("step", "seconds") and (value is None or type(value) in (int, float)):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(float(entry["step"]))
                values.append(float(value) if value is not None and abs(value) < 1e100 else math.nan)
    return {name: (np.array(s), np.array(v)) for name, (s, v) in curves.items() if np.isfinite(v).any()}


def _panels(curves):
    """(title, curves) of each panel: losses together, D's verdicts together, everything else alone."""
    losses = [name for name in curves if "loss" in name.lower()]
    verdicts = [name for name in PROBABILITIES if name in curves]
    groups = {"Losses": losses, "Verdicts of D": verdicts}
    groups |= {name: [name] for name in curves if name not in losses + verdicts}
    return [(title, {name: curves[name] for name in names}) for title, names in groups.items() if names]


def _panel(title, curves):
    """A figure: legend with the latest (smoothed) values above, thin raw and bold averaged lines below."""
    smooth = {name: _smoothed(values) for name, (_, values) in curves.items()}
    low, high = _range(curves, smooth)
    first = min(steps[0] for steps, _ in curves.values())
    last = max(max(steps[-1] for steps, _ in curves.values()), first + 1)

    def place(steps, values):
        x = LEFT + (steps - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        y = TOP + (high - values) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return x, np.clip(y, TOP - 1, HEIGHT - BOTTOM + 1)  # outliers run along the edge

    lines, legend = [_axes(place, (first, last), (low, high))], [f"<b>{escape(title)}</b>"]
    for index, (name, (steps, values)) in enumerate(curves.items()):
        hue = f'style="--hue: var(--s{index % 6})"'
        if smooth[name] is not values:
            lines.append(f'<path class="raw" {hue} d="{_path(*place(*_thinned(steps, values)))}"/>')
        lines.append(f'<path class="mean" {hue} d="{_path(*place(*_thinned(steps, smooth[name])))}"/>')
        latest = smooth[name][np.isfinite(smooth[name])][-1]
        legend.append(f"<span><i {hue}></i>{escape(name)} {latest:.3g}</span>")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(lines)}</svg>'
    return f"<figure><figcaption>{''.join(legend)}</figcaption>{drawing}</figure>"


def _smoothed(values):
    """Centred moving average (Hann weights) over a 25th of the curve, blind to NaN; none for short curves."""
    reach = len(values) // 50
    if reach < 1:
        return values
    known = np.isfinite(values)
    weights = np.hanning(2 * reach + 3)[1:-1]
    total = np.convolve(np.where(known, values, 0), weights)[reach:-reach]
    share = np.convolve(known, weights)[reach:-reach]
    return np.where(known, total / np.where(known, share, 1), np.nan)


def _range(curves, smooth):
    """Lowest and highest value of a panel: 0..1 for probabilities, else all averages and most raw values."""
    raw = np.concatenate([values for _, values in curves.values()])
    if curves.keys() <= set(PROBABILITIES) and np.nanmin(raw) >= 0 and np.nanmax(raw) <= 1:
        return 0.0, 1.0
    mean = np.concatenate(list(smooth.values()))
    low = min(np.nanpercentile(raw, 1), np.nanmin(mean))
    high = max(np.nanpercentile(raw, 99), np.nanmax(mean))
    space = 0.06 * (high - low) if high - low > 1e-9 * abs(high) else abs(high) * 0.1 or 1.0
    return low - space, high + space


def _thinned(steps, values):
    """At most POINTS of a curve: the lowest and the highest of each stretch, so that spikes stay."""
    if len(values) <= POINTS:
        return steps, values
    keep = set()
    for stretch in np.array_split(np.arange(len(values)), POINTS // 2):
        part = values[stretch]
        known = stretch[np.isfinite(part)] if np.isfinite(part).any() else stretch[:1]
        keep |= {known[values[known].argmin()], known[values[known].argmax()]}
    index = sorted(keep)
    return steps[index], values[index]


def _path(x, y):
    """An SVG path through the points, lifted at NaN; `h0` makes a lone point a dot."""
    parts, lifted = [], True
    for across, down in zip(x, y, strict=True):
        if math.isfinite(down):
            parts.append(f"M{across:.1f} {down:.1f}h0" if lifted else f"L{across:.1f} {down:.1f}")
        lifted = not math.isfinite(down)
    return "".join(parts)


def _axes(place, steps, values):
    marks = []
    for value in _ticks(*values, 5):
        _, y = place(steps[0], value)
        marks.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{_number(value)}</text>')
    for step in _ticks(*steps, 6):
        x, _ = place(step, values[0])
        if step == round(step):
            marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{_number(step)}</text>')
    return "".join(marks)


def _ticks(low, high, most):
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from low to high, about `most` of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    apart = next(power * m for m in (1, 2, 2.5, 5, 10, 20) if (high - low) / (power * m) <= most)
    return [i * apart for i in range(math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9) + 1)]


def _number(value):
    if abs(value) >= 1e3:
        return f"{value / 1e6:.4g}M" if abs(value) >= 1e6 else f"{value / 1e3:.4g}k"
    return f"{value:.4g}"
