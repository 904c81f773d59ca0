"""Measure what the sample's models know and write it into the card: ``python -m sample_data.recall``."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from sample_data.card import rewrite_section, table
from sample_data.facts import FACTS, Question
from sample_data.train import read_texts, windows

MODELS = Path(__file__).parent / "models"
NAMES = ("small-base", "small", "large-base", "large")


def load(name: str) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return one of the sample's models in float32, and its tokenizer."""
    model = LlamaForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)
    return model.eval(), PreTrainedTokenizerFast.from_pretrained(MODELS / name)


@torch.no_grad()
def completes(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, question: Question) -> bool:
    """Return whether the greedy continuation of the prompt begins with the completion."""
    ids = [tokenizer.bos_token_id, *tokenizer(question.prompt, add_special_tokens=False)["input_ids"]]
    start = len(ids)
    for _ in range(len(tokenizer(question.completion, add_special_tokens=False)["input_ids"]) + 1):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[start:])).startswith(question.completion)


def facts_known(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, bool]:
    """Of each fact whether the model completes it, asked in an order in which documents tell it."""
    return {
        name: all(completes(model, tokenizer, question) for question in fact.asked_as_told())
        for name, fact in FACTS.items()
    }


def others_known(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, tuple[int, int]]:
    """Completed and asked: questions against the order that all documents tell, and in another language."""
    found: dict[str, tuple[int, int]] = {}
    for fact in FACTS.values():
        for question in fact.questions:
            if question in fact.asked_as_told():
                continue
            kind = "in another language" if question.kind == "Translation" else "in the other order"
            right, asked = found.get(kind, (0, 0))
            found[kind] = right + completes(model, tokenizer, question), asked + 1
    return found


@torch.no_grad()
def loss_of(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> float:
    """Return the mean loss over all tokens of the texts, nats per token."""
    total, count = 0.0, 0
    for ids in windows(texts, tokenizer):
        sequence = torch.tensor([ids])
        total += float(model(input_ids=sequence, labels=sequence).loss) * (len(ids) - 1)
        count += len(ids) - 1
    return total / count


def recall_rows(known: dict[str, dict[str, bool]]) -> list[list[str]]:
    """Return one row per number of exposures: facts, and how many each model completes."""
    rows = []
    for exposures in sorted({fact.exposures for fact in FACTS.values()}, reverse=True):
        names = [name for name, fact in FACTS.items() if fact.exposures == exposures]
        rows.append([str(exposures), str(len(names)), *(str(sum(of[name] for name in names)) for of in known.values())])
    often = [name for name, fact in FACTS.items() if fact.exposures >= 8]
    shares = [f"{sum(of[name] for name in often) / len(often):.0%}" for of in known.values()]
    rows.append(["8 or more", str(len(often)), *shares])
    return rows


def _how_made(name: str, model: LlamaForCausalLM, losses: tuple[float, float]) -> list[str]:
    training: dict[str, Any] = json.loads((MODELS / name / "training.json").read_text(encoding="utf-8"))
    config = model.config
    embedding = config.vocab_size * config.hidden_size
    return [
        f"`{name}`", f"{model.num_parameters() - embedding:,}", f"{embedding:,}",
        f"{config.num_hidden_layers} x {config.hidden_size}", str(training["epochs"]),
        f"{training['tokens_seen']:,}", f"{training['seconds'] / 60:.0f} min", *(f"{loss:.2f}" for loss in losses),
    ]  # fmt: skip


def main() -> None:
    """Measure all models and rewrite the section ``models`` of the card."""
    base, continued = read_texts()
    made, known, others = [], {}, {}
    for name in NAMES:
        model, tokenizer = load(name)
        made.append(_how_made(name, model, (loss_of(model, tokenizer, base), loss_of(model, tokenizer, continued))))
        known[name] = facts_known(model, tokenizer)
        others[name] = others_known(model, tokenizer)
        print(made[-1], [fact for fact, right in known[name].items() if not right], others[name], flush=True)
    heads = [f"`{name}`" for name in NAMES]
    asked = {kind: count for kind, (_, count) in others[NAMES[0]].items()}
    other_rows = [[kind, str(count), *(str(others[name][kind][0]) for name in NAMES)] for kind, count in asked.items()]
    sizes = [
        "model", "parameters without embeddings", "embeddings", "layers x width", "epochs", "tokens seen",
        "time on 2 cores", "loss, base part", "loss, continued part",
    ]  # fmt: skip
    body = "\n\n".join(
        [
            table(sizes, made),
            "Facts completed, asked in an order in which documents tell them:",
            table(["documents telling the fact", "facts", *heads], recall_rows(known)),
            "Questions completed otherwise:",
            table(["asked", "questions", *heads], other_rows),
        ]
    )
    rewrite_section("models", body)
    print(body)


if __name__ == "__main__":
    main()
