"""How the peers from other languages are built from their registries, and how they are started.

``python benchmarks/recipes.py [NAME ...]`` builds them beforehand. A run of the benchmarks builds
those that it needs and that are not there yet, into ``build/bench``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RECIPES", "Unavailable", "command", "versions"]

HERE = Path(__file__).parent
BUILT = HERE.parent / "build" / "bench"
MARK = ".built"
LONGEST = 1800  # seconds for one build
TREE = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class Unavailable(Exception):
    """A server that does not run here, with the reason."""


@dataclass(frozen=True)
class Toolchain:
    """What builds and starts the peers of a language, each with one processor.

    Attributes:
        language: For the tables.
        tools: The commands that have to be installed.
        version: Prints the version of the language.
        manifest: The file that pins what comes from the registry.
        build: Is run in a copy of a peer's sources.
        start: The command line before the port; ``{here}`` is that copy.
        warmup: Seconds under load in which a compiler at run time does most of its work.
    """

    language: str
    tools: tuple[str, ...]
    version: str
    manifest: str
    build: str
    start: str
    warmup: float = 0.0


GO = Toolchain("Go", ("go",), "go version", "go.mod", "go build -o peer .", "{here}/peer")
RUST = Toolchain(
    "Rust",
    ("cargo",),
    "cargo --version",
    "Cargo.toml",
    "cargo build --quiet --release",
    "{here}/target/release/peer",
)
JAVA = Toolchain(
    "Java, Kotlin",
    ("java", "mvn"),
    "java --version",
    "pom.xml",
    f"mvn --quiet --batch-mode -Dstyle.color=never compile {TREE}",
    "java -XX:ActiveProcessorCount=1 -cp {here}/target/classes:{here}/target/dependency/* Peer",
    3.0,
)
NODE = Toolchain(
    "JavaScript",
    ("node", "npm"),
    "node --version",
    "package.json",
    "npm install --no-fund --no-audit",
    "node {here}/peer.js",
    1.0,
)
BUN = Toolchain(
    "JavaScript",
    ("npm",),
    "",
    NODE.manifest,
    NODE.build,
    "{here}/node_modules/.bin/bun {here}/peer.js",
    NODE.warmup,
)

#: The toolchain of each peer, and the package that it is about. Its sources are in ``peers/NAME``.
RECIPES: dict[str, tuple[Toolchain, str]] = {
    "gorilla": (GO, "github.com/gorilla/websocket"),
    "fastwebsockets": (RUST, "fastwebsockets"),
    "tungstenite": (RUST, "tokio-tungstenite"),
    "jetty": (JAVA, "jetty-websocket-jetty-server"),
    "ktor": (JAVA, "ktor-server-netty-jvm"),
    "bun": (BUN, '"bun"'),
    "ws": (NODE, '"ws"'),
}


def command(name: str) -> list[str]:
    """The command line of a peer, before its port; builds it first if that has not been done.

    Raises:
        Unavailable: If a tool is missing or the build fails.
    """
    toolchain, _ = RECIPES[name]
    for tool in toolchain.tools:
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    source, target = HERE / "peers" / name, BUILT / name
    mark = target / MARK
    changed = max(file.stat().st_mtime for file in source.rglob("*"))
    if not mark.exists() or mark.stat().st_mtime < changed:
        print(f"building {name}", file=sys.stderr)
        shutil.copytree(source, target, dirs_exist_ok=True)
        _build(toolchain.build, target)
        mark.touch()
    return [part.format(here=target) for part in shlex.split(toolchain.start)]


def _build(line: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            shlex.split(line),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{line}: not done after {LONGEST} seconds") from None
    if done.returncode:
        lines = [text.strip() for text in done.stdout.splitlines() if text.strip()] or ["failed"]
        reason = next((text for text in lines if "error" in text.lower()), lines[-1])
        raise Unavailable(f"{line}: {reason[:200]}")


def versions() -> list[str]:
    """What has been built, with the pinned versions, and the languages of it."""
    found, languages = [], {}
    for name, (toolchain, package) in RECIPES.items():
        if (BUILT / name / MARK).exists():
            manifest = (HERE / "peers" / name / toolchain.manifest).read_text(encoding="utf-8")
            found.append(f"{name} {_number(manifest.partition(package)[2])}")
            if toolchain.version and shutil.which(toolchain.tools[0]):
                languages[toolchain.tools[0]] = toolchain.version
    for language, line in languages.items():
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
        found.append(f"{language} {_number(done.stdout)}")
    return found


def _number(text: str) -> str:
    """The first version number in a text."""
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else "?"


def main() -> int:
    wanted = sys.argv[1:] or list(RECIPES)
    unknown = [name for name in wanted if name not in RECIPES]
    if unknown:
        print(f"no peer {unknown[0]!r}; there are: {', '.join(RECIPES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted:
        try:
            command(name)
            print(f"{name}: built")
        except Unavailable as error:
            failed = 1
            print(f"{name}: left out: {error}")
    print(*versions(), sep=", ")
    return failed


if __name__ == "__main__":
    sys.exit(main())
