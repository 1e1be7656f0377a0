"""Documents that can be held to the programs: settings, codes, links, files that are named."""
import pathlib
import re
import subprocess

import cluster
from cluster import BIN, ClusterTest, environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


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

    def test_links_lead_somewhere(self):
        for document in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")

    def test_tests_named_in_guarantees_exist(self):
        text = (ROOT / "docs/guarantees.md").read_text()
        known = "\n".join(p.read_text() for p in [*ROOT.glob("tests/**/*.cmake"), *ROOT.glob("tests/**/CMakeLists.txt")])
        for name in re.findall(r"`(\w+_test|demo_quick|compose)`", text):
            self.assertIn(name, known)
        for file, name in re.findall(r"`(failover|growth|refusal|damage)(?: (\w+))?`", text):
            self.assertIn(f"coffer_process_tests({file} ", known)
            self.assertIn(name, known)

    def test_sentences_named_in_guarantees_exist(self):
        protocol = (ROOT / "docs/protocol.md").read_text()
        for line in (ROOT / "docs/guarantees.md").read_text().splitlines():
            cells = line.split("|")
            if len(cells) < 4:
                continue
            for sentence in re.findall(r"\b[AJLMRSI]\d+(?:\.\d+)?\b", cells[2]):
                self.assertIn(f"**{sentence}", protocol, f"{sentence} is no sentence of the protocol")


if __name__ == "__main__":
    cluster.main()
