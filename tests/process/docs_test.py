"""Documents that can be held to the programs: settings, codes, links, files that are named."""
import functools
import pathlib
import re
import subprocess

import cluster
from cluster import BIN, ClusterTest, environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def sources():
    """What tests are registered by, and the planted bugs, as texts."""
    cmake = "\n".join(p.read_text() for p in [*ROOT.glob("tests/**/*.cmake"), *ROOT.glob("tests/**/CMakeLists.txt")])
    return cmake, (ROOT / "tests/sim/planted_bugs.cc").read_text()


@functools.cache
def programs():
    """The sources of each program of unit tests, the simulator's among them, as one text."""
    texts = {}
    for listing in [*ROOT.glob("tests/unit/*.cmake"), ROOT / "tests/sim/CMakeLists.txt"]:
        registered = listing.read_text()
        for names, body in re.findall(r"foreach\(name ([^)]*)\)(.*?)endforeach\(\)", registered, re.S):
            registered += "".join(body.replace("${name}", name) for name in names.split())
        for name, files in re.findall(r"coffer_test\((\w+)\s+SOURCES(.*?)LIBS", registered, re.S):
            texts[name] = "\n".join((listing.parent / file).read_text() for file in re.findall(r"\w+\.cc", files))
    return texts


def runs(bug):
    """Whether a planted bug is one of those that ctest runs."""
    return re.search(rf"(?<![\w-]){bug}(?![\w-])", (ROOT / "tests/sim/CMakeLists.txt").read_text()) is not None


def exists(name, case):
    """Whether a test is there. `program_test` "how a case begins", `file Class.test_method` of tests/process, `sim_test`, `check_x.h` or
    a planted bug; … stands for any end of a name. A case is looked for in its program, a method in its class."""
    cmake, bugs = sources()
    if case:
        return f'TEST_CASE("{case.rstrip("…")}' in programs().get(name, "")
    if (process := re.fullmatch(r"(\w+)(?: (\w+)(?:\.(\w+…?))?)?", name)) and (ROOT / f"tests/process/{process[1]}_test.py").exists():
        text = (ROOT / f"tests/process/{process[1]}_test.py").read_text()
        of_class = text.partition(f"\nclass {process[2]}(")[2].partition("\nclass ")[0]
        method = process[3] and f"    def {process[3]}(self)".replace("…(self)", "")
        return (not process[2] or of_class != "") and (not method or method in of_class)
    if name.startswith("check_"):
        return (ROOT / f"tests/sim/{name.removesuffix('.h')}.h").exists()
    if name.startswith("sim_scenario_"):
        return any(ROOT.glob(f"tests/sim/scenarios/{name.removeprefix('sim_scenario_')}.txt"))
    if name.startswith("sim_finds_"):
        return runs(name.removeprefix("sim_finds_"))
    return f'"{name}"' in bugs or re.search(rf"\b{re.escape(name)}\b", cmake) is not None


def numbered_sentences():
    """Of docs/protocol.md, in its order."""
    return re.findall(r"^ *- \*\*([AIJKLMRS]\d+[a-z]?(?:\.\d+)?)\b", (ROOT / "docs/protocol.md").read_text(), re.M)


def left_over(sentences, held, listed):
    """Those that are not held. One with parts is held, too, if each part is, or is listed."""
    parts = {s: [p for p in sentences if p.startswith(f"{s}.")] for s in sentences}
    return sorted(s for s in sentences if s not in held and not (parts[s] and held.union(listed).issuperset(parts[s])))


class Documents(ClusterTest):
    def test_every_setting_is_in_operations(self):
        printed = subprocess.run([str(BIN / "cofferd"), "--print-config"], capture_output=True, text=True, timeout=20, env=environment()).stdout
        keys = set(re.findall(r"^#? ?(\w+) = ", printed, re.M))
        self.assertGreater(len(keys), 30)
        described = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.M))
        self.assertEqual(keys, described)

    def test_every_status_code_has_a_section(self):
        codes = (ROOT / "docs/codes.md").read_text().split("## Reasons of errors")[0]
        sections = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.M)
        self.assertEqual(re.findall(r"^\| `(\w+)` \|", codes, re.M), sections)

    def test_decision_0015_holds(self):
        """LevelDB's own loop over tables stayed out of the program."""
        names = subprocess.run(["nm", "-C", str(BIN / "cofferd")], capture_output=True, text=True, timeout=60).stdout
        self.assertIn("leveldb::crc32c::Extend", names)
        self.assertNotIn("kStrideExtensionTable", names)

    def test_decision_0018_holds(self):
        """LevelDB's gets call our function where they counted seeks; that it counts none is store_leveldb_test's."""
        names = subprocess.run(["nm", str(BIN / "cofferd")], capture_output=True, text=True, timeout=60).stdout
        self.assertIn(" __wrap__ZN7leveldb7Version11UpdateStats", names)

    def test_links_lead_somewhere(self):
        for document in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")

    def test_the_index_has_every_document(self):
        index = (ROOT / "docs/README.md").read_text()
        for document in ROOT.glob("docs/*.md"):
            if document.name != "README.md":
                self.assertIn(f"]({document.name})", index)

    def test_tests_named_in_documents_exist(self):
        """Of docs/guarantees.md the last column, of docs/testing.md the column "tests" of every table that has one."""
        named = 0
        for document in ("guarantees", "testing"):
            column = None
            for line in (ROOT / f"docs/{document}.md").read_text().splitlines():
                cells = [cell.strip() for cell in line.split("|")]
                if len(cells) < 3:
                    column = None
                elif column is None:
                    column = cells.index("tests") if "tests" in cells else 0
                elif column and not set(cells[column]) <= set("-:"):
                    for name, case in re.findall(r"`([^`]+)`(?: \"([^\"]+)\")?", cells[column]):
                        named += 1
                        self.assertTrue(exists(name, case), f"docs/{document}.md names {name} {case}")
        self.assertGreater(named, 100)

    def test_every_bug_class_has_tests(self):
        classes = (ROOT / "docs/testing.md").read_text().split("## Bugs that others had")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (\d+) \|[^|]+\| (`[^|]+) \|$", classes, re.M)
        self.assertEqual([int(number) for number, _ in rows], list(range(1, 26)))

    def test_sentences_named_in_guarantees_exist(self):
        protocol = (ROOT / "docs/protocol.md").read_text()
        for line in (ROOT / "docs/guarantees.md").read_text().splitlines():
            cells = line.split("|")
            if len(cells) < 4:
                continue
            for sentence in re.findall(r"\b[AIJKLMRS]\d+(?:\.\d+)?\b", cells[2]):
                self.assertIn(f"**{sentence}", protocol, f"{sentence} is no sentence of the protocol")

    def test_every_sentence_of_the_protocol_has_a_test(self):
        """A test that holds a sentence names its number; docs/testing.md lists those that none holds, and why. Of the planted bugs those
        count that ctest runs."""
        sentences = numbered_sentences()
        self.assertGreater(len(sentences), 140)
        self.assertEqual(set("AIJKLMRS"), {s[0] for s in sentences})
        tests = [p for folder in ("unit", "sim", "process") for p in (ROOT / "tests" / folder).rglob("*")
                 if p.suffix in (".cc", ".h", ".py", ".txt") and p.name not in ("docs_test.py", "planted_bugs.cc")]
        texts = [p.read_text() for p in tests]
        texts += [numbers for bug, numbers in re.findall(r'^ +\{"([\w-]+)", .*(//.*)$', sources()[1], re.M) if runs(bug)]
        named = set(re.findall(r"(?<![\w.-])[AIJKLMRS]\d+[a-z]?(?:\.\d+)?(?![\w-])", "\n".join(texts)))
        section = (ROOT / "docs/testing.md").read_text().split("### Sentences without a test")[1].split("\n## ")[0]
        listed = re.findall(r"^- \*\*([\w.]+)\*\*: \S", section, re.M)
        self.assertEqual(left_over(sentences, named, listed), sorted(listed))

    def test_every_sentence_of_the_protocol_has_a_mark(self):
        """A mark stands where the simulator carries a sentence out, and begins with its number; docs/testing.md lists those that have none."""
        sentences = numbered_sentences()
        sources = [p.read_text() for folder in ("cluster", "node/core", "router/core") for p in (ROOT / folder).glob("*.cc")]
        marked = set(re.findall(r'\bRULE\("([\w.]+)', "\n".join(sources)))
        self.assertEqual(set(), marked - set(sentences))
        section = (ROOT / "docs/testing.md").read_text().split("### Sentences without a mark")[1].split("\n## ")[0]
        reasons = re.findall(r"^\| ([A-Z][\w., ]*) \| \w", section, re.M)
        listed = [number for numbers in reasons for number in numbers.split(", ")]
        self.assertEqual(left_over(sentences, marked, listed), sorted(listed))


if __name__ == "__main__":
    cluster.main()
