"""A source-code tree: each text file is a document, called by its path; its source is the programming language."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.readers.files import Skipped, texts_of
from engine.readers.settings import ReadingSettings
from engine.readers.text import SUFFIXES as DOCUMENTATION

CODE = {
    "Assembly": ".asm .s", "C": ".c .h", "C#": ".cs", "C++": ".cc .cpp .cxx .hh .hpp .hxx", "Clojure": ".clj .cljs",
    "CSS": ".css .less .sass .scss", "CUDA": ".cu .cuh", "Dart": ".dart", "Elixir": ".ex .exs", "Elm": ".elm",
    "Erlang": ".erl .hrl", "F#": ".fs .fsi", "Fortran": ".f .f90 .f95 .for", "Go": ".go", "Groovy": ".gradle .groovy",
    "Haskell": ".hs", "HTML": ".htm .html", "Java": ".java", "JavaScript": ".cjs .js .jsx .mjs", "Julia": ".jl",
    "Kotlin": ".kt .kts", "Lean": ".lean", "Lisp": ".el .lisp .lsp .rkt .scm", "Lua": ".lua", "MATLAB": ".m",
    "Nim": ".nim", "Nix": ".nix", "OCaml": ".ml .mli", "Pascal": ".pas", "Perl": ".pl .pm", "PHP": ".php",
    "PowerShell": ".ps1", "Python": ".py .pyi .pyx", "R": ".r", "Ruby": ".rb", "Rust": ".rs",
    "Scala": ".sbt .scala", "Shell": ".bash .fish .sh .zsh", "Solidity": ".sol", "SQL": ".sql", "Swift": ".swift",
    "TypeScript": ".ts .tsx", "VHDL": ".vhd .vhdl", "Verilog": ".sv .v", "Vue": ".vue", "Zig": ".zig",
}  # fmt: skip
"""Languages and the endings of their files; of those that several use (``.h``, ``.m``) the most frequent."""
BESIDE = {
    "Build files": ".bzl .cmake .mk CMakeLists.txt Dockerfile GNUmakefile Justfile Makefile Rakefile",
    "Configuration": ".cfg .conf .ini .toml .yaml .yml",
    "Documentation": " ".join(DOCUMENTATION),
}
KINDS = {f"{language} code": endings for language, endings in CODE.items()} | BESIDE
SUFFIXES = {ending: kind for kind, endings in KINDS.items() for ending in endings.split()}
"""The source of files with an ending, or of a name."""


def read(path: Path, settings: ReadingSettings, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a source tree, or of one source file."""
    for name, file, text in texts_of(path, SUFFIXES, skipped):
        plain = Path(name)
        source = SUFFIXES.get(plain.name) or SUFFIXES.get(plain.suffix.lower())
        yield str(file), {"id": name, "text": text, "source": source, "title": name}
