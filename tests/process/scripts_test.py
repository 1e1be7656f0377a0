"""The options of the scripts in deploy/, with the system's own programs replaced: nothing is installed or built here."""
import os
import pathlib
import subprocess
import tempfile
import unittest

import cluster

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
ONE_OF = {"build": "ninja-build", "tests": "catch2", "sanitizers": "gcovr", "peers": "redis-server"}  # what only that part asks for


class Options(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="coffer-scripts-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.calls = self.folder / "calls"
        self.calls.touch()
        # Every one of them would change this machine. No package is there, says dpkg-query.
        self.replace("dpkg-query", "exit 1")
        self.replace("sudo", '"$@"')
        for name in ("apt-get", "systemctl", "cmake", "ninja"):
            self.replace(name, f'echo "{name} $*" >> {self.calls}')

    def replace(self, name, does):
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)

    def run_script(self, name, *options, code=0):
        """Runs one of deploy/; gives what it said and what it called."""
        path = f"{self.folder}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "COFFER_BUILD": str(self.folder / "build")}
        done = subprocess.run([DEPLOY / name, *options], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr, self.calls.read_text()

    def refused(self, name, *options):
        said, calls = self.run_script(name, *options, code=2)
        self.assertIn(f'{name}: unknown option "{options[-1]}"; see deploy/{name} --help', said)
        self.assertEqual(calls, "")

    def installs(self, options, parts):
        with self.subTest(options):
            self.calls.write_text("")
            _, calls = self.run_script("install-packages", *options)
            packages = calls.split("apt-get install")[1].split("\n")[0].split()
            self.assertEqual([part for part, package in ONE_OF.items() if package in packages], parts)
            self.assertEqual(len(set(packages)), len(packages))
            self.assertEqual("systemctl" in calls, "peers" in parts)

    def test_packages(self):
        """Each option adds its own, whatever their order."""
        self.installs([], ["build"])
        self.installs(["--tests"], ["build", "tests"])
        self.installs(["--sanitizers"], ["build", "tests", "sanitizers"])
        self.installs(["--tests", "--sanitizers"], ["build", "tests", "sanitizers"])
        self.installs(["--sanitizers", "--peers"], ["build", "tests", "sanitizers", "peers"])
        self.installs(["--peers", "--tests"], ["build", "tests", "peers"])

    def test_unknown(self):
        self.refused("install-packages", "--tests", "--test")
        self.refused("install-packages", "catch2")
        self.refused("build", "--test")
        self.refused("build", "--tests", "cofferd")

    def test_help(self):
        for name, options in (("install-packages", ("--tests", "--sanitizers", "--peers")), ("build", ("--tests",))):
            said, calls = self.run_script(name, "--help")
            for option in options:
                self.assertIn(f"deploy/{name} {option}", said)
            self.assertEqual(calls, "")

    def test_build(self):
        self.assertIn("-DCOFFER_TESTS=OFF", self.run_script("build")[1])
        self.assertIn("-DCOFFER_TESTS=ON", self.run_script("build", "--tests")[1])


if __name__ == "__main__":
    cluster.main()
