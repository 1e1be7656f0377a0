"""Small line plots as SVG: one panel for each series, one below the other, both axes logarithmic."""
import math
from xml.sax.saxutils import escape

WIDTH, PANEL, LEFT, RIGHT, TOP, BETWEEN = 640, 200, 70, 20, 40, 50


def short(number):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:g}{unit}"
    return f"{number:g}"


def ticks(low, high):
    """1, 2, 5 of each power of ten that lie in the range."""
    marks = [m * 10 ** e for e in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)]
    return [m for m in marks if low * 0.999 <= m <= high * 1.001]


def scale(low, high, start, end):
    if low == high:
        return lambda value: (start + end) / 2
    return lambda value: start + (math.log(value) - math.log(low)) / (math.log(high) - math.log(low)) * (end - start)


def panel(title, x_label, points, top):
    xs, ys = [p[0] for p in points], [max(p[1], 1e-3) for p in points]
    low, high = min(ys) / 1.5, max(ys) * 1.5
    x_of, y_of = scale(min(xs), max(xs), LEFT, WIDTH - RIGHT), scale(low, high, top + PANEL, top)
    out = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(title)}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}" fill="none" stroke="#888"/>']
    for y in ticks(low, high):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_of(y):.1f}" y2="{y_of(y):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y_of(y) + 4:.1f}" text-anchor="end">{short(y)}</text>')
    for x in xs:
        out.append(f'<text x="{x_of(x):.1f}" y="{top + PANEL + 16}" text-anchor="middle">{short(x)}</text>')
    path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(xs, ys))
    out.append(f'<polyline points="{path}" fill="none" stroke="#06c" stroke-width="2"/>')
    out += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="#06c"/>' for x, y in zip(xs, ys)]
    out.append(f'<text x="{WIDTH - RIGHT}" y="{top + PANEL + 32}" text-anchor="end">{escape(x_label)}</text>')
    return out


def svg(title, x_label, series):
    """`series`: (title, [(x, y), ...]) with positive x."""
    height = TOP + len(series) * (PANEL + BETWEEN) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
           f"<title>{escape(title)}</title>", '<rect width="100%" height="100%" fill="white"/>']
    for i, (name, points) in enumerate(series):
        out += panel(name, x_label, points, TOP + i * (PANEL + BETWEEN))
    return "\n".join(out + ["</svg>"]) + "\n"
