"""A flame graph as one SVG without scripts: the whole name of a function and its share appear when the pointer rests on it."""
import zlib
from xml.sax.saxutils import escape

WIDTH, ROW, TOP, CHARACTER = 1200, 16, 30, 6.2
# A picture in the repository; what does not fit is left away from the narrowest on.
MOST_BYTES = 180_000


class Frame:
    def __init__(self):
        self.samples, self.callees = 0, {}


def tree(stacks):
    root = Frame()
    for stack, samples in stacks.items():
        frame = root
        frame.samples += samples
        for name in stack:
            frame = frame.callees.setdefault(name, Frame())
            frame.samples += samples
    return root


def rows(root, least):
    """(depth, first sample, samples, name) of each frame of at least so many samples."""
    out = []

    def walk(frame, depth, at):
        for name, callee in sorted(frame.callees.items()):
            if callee.samples >= least:
                out.append((depth, at, callee.samples, name))
                walk(callee, depth + 1, at)
            at += callee.samples
    walk(root, 0, 0)
    return out


def colour(name):
    mixed = zlib.crc32(name.encode())
    return f"#{225 + mixed % 30:02x}{110 + (mixed >> 8) % 110:02x}{60 + (mixed >> 16) % 50:02x}"


def draw(title, shown, all_samples):
    depth = 1 + max(row[0] for row in shown)
    height = TOP + depth * ROW + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="10">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="8" y="18" font-size="13">{escape(title)}</text>']
    for level, at, samples, name in shown:
        x, width = at / all_samples * WIDTH, samples / all_samples * WIDTH
        y = height - 10 - (level + 1) * ROW
        out.append(f'<g><title>{escape(name)} {100 * samples / all_samples:.1f} %</title>'
                   f'<rect x="{x:.1f}" y="{y}" width="{max(0.3, width - 0.4):.1f}" height="{ROW - 1}" fill="{colour(name)}"/>')
        fits = int((width - 4) / CHARACTER)
        if fits >= 4:
            # Of a long name the end says more than the namespaces before it.
            label = name if len(name) <= fits else ".." + name[-(fits - 2):]
            out.append(f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(label)}</text>')
        out.append("</g>")
    return "\n".join(out + ["</svg>"]) + "\n"


def svg(title, stacks):
    """`stacks`: {(outermost, ..., innermost): samples}, not empty."""
    root = tree(stacks)
    least = max(1, root.samples // 1000)
    while len(picture := draw(title, rows(root, least), root.samples)) > MOST_BYTES:
        least += max(1, least // 4)
    return picture
