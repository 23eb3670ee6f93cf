"""Runs the blocks of docs/simulator.md that start the demo with Testcontainers, and calls the demo at the address that they find.

    containers.py IMAGE SCRATCH      the demo's image, and an empty folder

Needs a Docker engine, grpcurl, and the build tools of clients/: Go, Python, Node.js with npm, and a JDK with Maven. Each block ends with a comment
that stands for the call. The comment is replaced: the program prints the address, and waits until its standard input ends.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "interop"))

from checks import equal, require, check, run  # noqa: E402
from pages import ROOT, blocks_of  # noqa: E402

IMAGE, SCRATCH = sys.argv[1], pathlib.Path(sys.argv[2])
METHOD = "faceliveness.v1.FaceLivenessService/GetLivenessResult"
CALL = json.dumps({"session_id": "facade00-0000-4000-8000-000000000001", "min_confidence": 80})

# Seconds for a program, in which it starts and stops the demo.
TIMEOUT = 120

# Testcontainers pulls images to remove containers and, if it is in a container itself, to find the engine. The engine is on this machine.
ENVIRONMENT = os.environ | {"TESTCONTAINERS_RYUK_DISABLED": "true", "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"}

# The versions that are tested.
GO, PYTHON, NODE, JAVA = "v0.45.0", "4.15.0", "11.14.0", "2.0.5"

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>example</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency><groupId>org.testcontainers</groupId><artifactId>testcontainers</artifactId><version>{JAVA}</version></dependency>
  </dependencies>
</project>
"""


def block(kind):
    """Returns the block of a language, with the name of this image."""
    found = [block.text for block in blocks_of(ROOT / "docs/simulator.md") if block.kind == kind and "face-liveness-facade:demo" in block.text]
    equal(f"the number of {kind} blocks", len(found), 1)
    return found[0].replace("face-liveness-facade:demo", IMAGE)


def with_call(text, code):
    """Replaces the comment that stands for the call."""
    text, replaced = re.subn(r"^( *)(//|#) .* …$", lambda comment: textwrap.indent(code, comment[1]), text, flags=re.MULTILINE)
    equal("the number of comments that stand for the call", replaced, 1)
    return text


def sh(folder, *words):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    require(done.returncode == 0, f"{' '.join(words)} ends with {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")


def call_at_address(folder, *words):
    """Runs a program, and calls the demo at the address that it prints."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(["timeout", str(TIMEOUT), *words], cwd=folder, env=ENVIRONMENT, text=True, **pipes)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.match(r"address (\S+)", line):
            called = subprocess.run(["grpcurl", "-plaintext", "-d", CALL, found[1], METHOD], capture_output=True, text=True)
            break
    else:
        require(False, f"it prints no address: {''.join(lines)[-600:]}{process.stderr.read()[-1200:]}")
    output, errors = process.communicate()
    require(process.returncode == 0, f"it ends with {process.returncode}: {output[-600:]}{errors[-1200:]}")
    require(called.returncode == 0, called.stderr)
    equal("the verdict", json.loads(called.stdout)["verdict"], "VERDICT_LIVE")


def folder_of(language):
    folder = SCRATCH / language
    folder.mkdir()
    return folder


@check("Testcontainers for Python")
def python():
    folder = folder_of("python")
    sh(folder, sys.executable, "-m", "venv", ".venv")
    sh(folder, ".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", f"testcontainers=={PYTHON}")
    (folder / "demo.py").write_text(with_call(block("python"), 'print("address", address, flush=True)\nimport sys; sys.stdin.read()'))
    call_at_address(folder, ".venv/bin/python", "demo.py")


@check("Testcontainers for Node.js")
def node():
    folder = folder_of("node")
    sh(folder, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", f"testcontainers@{NODE}")
    wait = 'console.log("address", address);\nfor await (const _ of process.stdin);'
    (folder / "demo.mjs").write_text(with_call(block("js"), wait))
    call_at_address(folder, "node", "demo.mjs")


@check("Testcontainers for Go")
def go():
    folder = folder_of("go")
    imports, statements = re.fullmatch(r"(import \(.*?^\)\n)(.*)", block("go"), re.DOTALL | re.MULTILINE).groups()
    statements = with_call(statements, 'fmt.Println("address", address)\nio.Copy(io.Discard, os.Stdin)')
    standard = 'import (\n\t"context"\n\t"fmt"\n\t"io"\n\t"os"\n\t"testing"\n)\n'
    test = f"package demo\n\n{standard}{imports}\nfunc TestDemo(t *testing.T) {{\nctx := context.Background()\n{statements}}}\n"
    (folder / "demo_test.go").write_text(test)
    sh(folder, "go", "mod", "init", "example.com/demo")
    sh(folder, "go", "get", f"github.com/testcontainers/testcontainers-go@{GO}")
    sh(folder, "go", "mod", "tidy")
    # As a program, since `go test` passes no standard input.
    sh(folder, "go", "test", "-c", "-o", "demo.test")
    call_at_address(folder, "./demo.test", "-test.v")


@check("Testcontainers for Java")
def java():
    folder = folder_of("java")
    sources = folder / "src/main/java"
    sources.mkdir(parents=True)
    imports, statements = re.fullmatch(r"((?:import [^\n]*\n)+)(.*)", block("java"), re.DOTALL).groups()
    statements = with_call(statements, 'System.out.println("address " + address);\nSystem.in.readAllBytes();')
    program = f"{imports}\npublic final class Demo {{\n  public static void main(String[] arguments) throws Exception {{\n{statements}  }}\n}}\n"
    (sources / "Demo.java").write_text(program)
    (folder / "pom.xml").write_text(POM)
    sh(folder, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DoutputDirectory=target/libraries")
    call_at_address(folder, "java", "-cp", "target/classes:target/libraries/*", "Demo")


run()
