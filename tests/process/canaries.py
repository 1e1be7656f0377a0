"""Canaries: secrets of a test that must not be found where they have no business, in any form in which programs write bytes (I17)."""
import base64
import contextlib
import os
import re

ZEROS = re.compile(rb"\0{64,}")
PIECE = 12  # bytes: a log may cut a word short, and this much of it is still too much


def escaped(data):
    """As protobuf prints bytes."""
    named = {10: "\\n", 13: "\\r", 9: "\\t", 34: '\\"', 39: "\\'", 92: "\\\\"}
    return "".join(named.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data).encode()


def forms(data):
    """What `data` looks like raw, in hexadecimal, in base64 of both alphabets wherever it begins among other bytes, and escaped."""
    yield "raw", data
    yield "hex", data.hex().encode()
    yield "hex", data.hex().upper().encode()
    yield "escaped", escaped(data)
    for shift in range(3):
        # The digits that hold nothing but bits of `data`.
        first, last = (shift * 8 + 5) // 6, (shift + len(data)) * 8 // 6
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            yield name, encode(bytes(shift) + data)[first:last]


def pieces(data):
    """From its begin, and the last one to its end."""
    return [data[min(at, len(data) - PIECE):][:PIECE] for at in range(0, len(data), PIECE)]


class Canaries:
    """Secrets by their names, and where they were found. Their pieces are looked for, so that a part counts, too."""

    def __init__(self, **secrets):
        self.patterns = {}  # bytes -> what was found when they are
        self.found = []
        self.searched = 0   # bytes
        for name, secret in secrets.items():
            self.add(name, secret)

    def add(self, name, secret):
        secret = secret if isinstance(secret, bytes) else secret.encode()
        assert len(secret) >= 2 * PIECE, f"{name} is too short to be told from other bytes"
        texts = [secret]
        with contextlib.suppress(ValueError):
            texts.append(bytes.fromhex(secret.decode()))  # what the digits say is as secret
        for text in texts:
            for part in pieces(text):
                for form, pattern in forms(part):
                    self.patterns.setdefault(pattern, f"{name} ({form})")

    def search(self, where, data):
        data = data if isinstance(data, (bytes, bytearray)) else data.encode()
        data = ZEROS.sub(b"\0", data)  # files are made long before they are filled
        self.searched += len(data)
        for pattern, what in self.patterns.items():
            at = data.find(pattern)
            if at >= 0:
                self.found.append(f"{where}: {what} at {at}, in {bytes(data[max(0, at - 60):at + 80])!r}")

    def search_folder(self, folder, but=()):
        """All files below it but those named, and the files' names."""
        for path, _, files in os.walk(folder):
            for name in files:
                file = os.path.join(path, name)
                if file in map(str, but):
                    continue
                self.search("the name " + file, file)
                with contextlib.suppress(FileNotFoundError), open(file, "rb") as opened:  # a store may erase what it no longer needs
                    self.search(file, opened.read())

    def search_process(self, pid):
        for name in ("cmdline", "environ"):
            # Nobody but root may read the environment of a process that leaves no core.
            with contextlib.suppress(PermissionError), open(f"/proc/{pid}/{name}", "rb") as file:
                self.search(f"/proc/{pid}/{name}", file.read())
