"""Whence beside kronfluence 1.0.1 and bergson 2.5.1, and over the floor of any such method.

    python tests/benchmarks/peers.py [--model FOLDER] [--corpus FILE] [--queries-file FILE] [--out OUT] [--rounds 3]

Each tool runs in a process of its own on the same model, tracked layers, damping, threads, documents (all cut to one
length, as kronfluence's influence by token needs it) and queries (prompt and first token of the completion, so that
all give one row a query; Whence gives gradient dot, norms and hidden states on top). Tools take turns within a round;
medians over rounds are shown, and ratios of these only; processor seconds stand beside, as they grow less when the
machine is busy. Starting, importing and loading are not timed; the preparation of queries is timed apart. Of each
tool's settings the quickest is taken whose scores keep a rank correlation of 0.99 with its own at full rank in
float32. Writes OUT.json and OUT.md.

The peers get an environment of their own in ``--environment``, which sees this one's packages, so torch is not
downloaded again; torchvision and torchaudio, which bergson names among its needs, are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from peer_tools.inputs import write_inputs  # noqa: E402
from peer_tools.tables import markdown, verdicts  # noqa: E402

TOOLS = Path(__file__).parent / "peer_tools"
NEEDS = [
    "jaxtyping>=0.3.3", "ml_dtypes", "natsort", "peft>=0.17", "petname", "simple-parsing", "torchopt", "bitsandbytes",
    "accelerate>=1,<2", "datasets>=3,<6",
]  # fmt: skip
"""What the peers import beyond requirements.txt."""
PEERS = ["kronfluence==1.0.1", "bergson==2.5.1"]
AGREE = 0.99
TIMES = ("seconds", "processor_seconds")
RANK_ERRORS, RANKS = [0.08, 0.1, 0.12], [80, 64, 48]
"""Settings that are tried beside full rank in float32, of Whence and of kronfluence; bergson has no low rank."""


def environment(folder: Path) -> Path:
    """The peers' Python, made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        paths = {"base": str(folder), "platbase": str(folder)}
        site = Path(sysconfig.get_path("purelib", vars=paths))
        (site / "whence.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *NEEDS], check=True)
        subprocess.run([*install, "--no-deps", *PEERS], check=True)
        (folder / "installed").touch()
    return python


class Tool:
    """A tool's process."""

    def __init__(self, name: str, python: Path | str, task: dict, folder: Path) -> None:
        self.name, self.folder = name, folder
        file, log = folder / f"{name}.json", (folder / f"{name}.log").open("w")
        file.write_text(json.dumps(task))
        threads = {"OMP_NUM_THREADS": str(task["threads"]), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [python, TOOLS / f"{name}_tool.py", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, env=os.environ | threads,
        )  # fmt: skip
        self.layers = self._answer()["layers"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {(self.folder / f'{self.name}.log').read_text()[-3000:]}")
        return json.loads(line)

    def do(self, work: str, keep: Path | None = None, **given) -> dict:
        """Ask for one work; what it took."""
        asked = {"work": work, "with": given} | ({"keep": str(keep)} if keep else {})
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """No more works."""
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Bench:
    """The tools, and what was measured of them."""

    tools: dict[str, Tool]
    settings: dict[str, list[dict]]
    folder: Path
    until: float
    rows: list[dict] = field(default_factory=list)
    tried: list[dict] = field(default_factory=list)

    def choose(self, work: str, queries: int) -> dict[str, dict]:
        """For each tool its quickest setting that agrees with its own full rank."""
        chosen = {}
        for name, tool in self.tools.items():
            exact, found = self.folder / f"{name} {work} {queries} exact.npy", []
            for setting in self.settings[name]:
                file = exact if setting == self.settings[name][0] else self.folder / "trial.npy"
                told = tool.do(work, file, queries=queries, **setting)
                agrees = agreement(file, exact)
                found.append((told["processor_seconds"], setting, agrees))
                about = {"tool": name, "work": work, "queries": queries, "setting": setting, "spearman": agrees}
                self.tried.append(about | told)
                print(f"tried {about}: {told['processor_seconds']:.2f} s of the processor", flush=True)
            chosen[name] = min((one for one in found if one[2] >= AGREE), key=lambda one: one[0])[1]
        return chosen

    def measure(self, work: str, queries: int, variants: list[tuple[str, dict]], rounds: int) -> None:
        """Rounds of one work, the tools taking turns, the floor first."""
        floors: list[dict] = []
        told: dict[int, list[dict]] = {place: [] for place in range(len(variants))}
        for number in range(rounds):
            if number and time.monotonic() > self.until:
                break
            floors.append(self.tools["whence"].do("floor"))
            for place, (name, setting) in enumerate(variants):
                given = setting if work == "fit" else {"queries": queries} | setting
                keep = None if work == "fit" else self.folder / f"{place}.npy"
                told[place].append(self.tools[name].do(work, keep, **given))
                print(name, work, given, told[place][-1], flush=True)
        for place, (name, setting) in enumerate(variants):
            of = {key: statistics.median(one[key] for one in told[place]) for key in told[place][0]}
            row = {"work": work, "queries": queries, "tool": name, "setting": setting} | of
            row |= {f"floor_{key}": statistics.median(one[key] for one in floors) for key in TIMES}
            row |= {f"rounds_{key}": [one[key] for one in told[place]] for key in TIMES}
            row["rounds"] = len(floors)
            row["preparation_seconds"] = max(one["preparation_seconds"] for one in told[place])
            if work != "fit":
                own = self.folder / f"{name} {work} {queries} exact.npy"
                ours = self.folder / f"whence {work} {queries} exact.npy"
                mine = self.folder / f"{place}.npy"
                row |= {
                    "spearman_own_full_rank": agreement(mine, own) if own.is_file() else None,
                    "spearman_whence_full_rank": agreement(mine, ours) if ours.is_file() else None,
                }
            self.rows.append(row)


def agreement(file: Path, other: Path) -> float:
    """Mean over queries of the rank correlation of two arrays of scores."""
    pairs = zip(np.load(file), np.load(other), strict=True)
    return float(np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default=str(ROOT / "sample_data/models/large"), help="folder of a causal language model"
    )
    parser.add_argument("--corpus", default=str(ROOT / "sample_data/corpus.jsonl"))
    parser.add_argument("--queries-file", default=str(ROOT / "sample_data/queries.jsonl"))
    parser.add_argument("--layers", default="mlp")
    parser.add_argument("--fit-documents", type=int, default=256)
    parser.add_argument(
        "--documents", type=int, default=128, help="documents that are scored, the first of those fitted"
    )
    parser.add_argument("--length", type=int, default=64, help="tokens of a document; shorter ones are left out")
    parser.add_argument("--queries", type=int, nargs="+", default=[64, 8])
    parser.add_argument("--works", nargs="+", default=["fit", "documents", "tokens"])
    parser.add_argument("--rank-errors", type=float, nargs="+", default=RANK_ERRORS, help="tried of Whence")
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS, help="tried of kronfluence")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no second or later round begins")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--environment", type=Path, default=Path.home() / ".cache/whence/peers")
    parser.add_argument("--out", type=Path, default=Path("peers"))
    given = parser.parse_args()
    python = environment(given.environment)
    with tempfile.TemporaryDirectory() as made:
        for bench in measured(given, python, Path(made)):
            write(given, bench)
    print(given.out.with_suffix(".md").read_text())


def write(given: argparse.Namespace, bench: Bench) -> None:
    """Tables of what is measured so far."""
    rows = [row for row in bench.rows if row["work"] in given.works]
    told = {
        "date": str(date.today()), "cores": os.cpu_count(), "threads": given.threads, "load": os.getloadavg()[0],
        "model": Path(given.model).name, "layers": given.layers, "fit_documents": given.fit_documents,
        "documents": given.documents, "tokens_per_document": given.length,
        "rows": rows, "tried": bench.tried, "verdicts": verdicts(rows),
    }  # fmt: skip
    given.out.with_suffix(".json").write_text(json.dumps(told, indent=1))
    given.out.with_suffix(".md").write_text(markdown(told))


def measured(given: argparse.Namespace, python: Path, folder: Path) -> Iterator[Bench]:
    """All works of all tools, given after each."""
    task = {
        "model": str(Path(given.model).resolve()), "layers": given.layers, "context": None, "damping_factor": 0.1,
        "batch_tokens": given.batch_tokens, "length": given.length, "documents": given.documents,
        "threads": given.threads, "folder": str(folder),
    } | write_inputs(folder, given)  # fmt: skip
    whence = Tool("whence", sys.executable, task, folder)
    task["layer_names"] = whence.layers
    tools = {"whence": whence} | {name: Tool(name, python, task, folder) for name in ("kronfluence", "bergson")}
    settings = {
        "whence": [{"rank_error": error} for error in (None, *given.rank_errors)],
        "kronfluence": [{"rank": rank} for rank in (None, *given.ranks)],
        "bergson": [{}],
    }
    bench = Bench(tools, settings, folder, time.monotonic() + 60 * given.minutes)
    fits = given.rounds if "fit" in given.works else 1
    bench.measure("fit", 0, [(name, {}) for name in tools], fits)  # what is scored needs the factors too
    yield bench
    for queries in given.queries:
        for work in (work for work in given.works if work != "fit"):
            chosen = bench.choose(work, queries)
            variants = list(chosen.items())
            if work == "tokens":  # one at full rank and one at the highest low rank, whichever of them is the quickest
                other = bench.settings["kronfluence"][0 if chosen["kronfluence"]["rank"] else 1]
                variants.append(("kronfluence", other))
            bench.measure(work, queries, variants, given.rounds)
            yield bench
    for tool in tools.values():
        tool.end()


if __name__ == "__main__":
    main()
