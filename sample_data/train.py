"""Train the sample's tokenizer and tiny model: ``python -m sample_data.train``.

Reads ``corpus.jsonl``; writes a stock transformers folder ``models/small/`` and the model section of the
card. Takes about three minutes on one CPU core. The seed fixes the run on one machine; another
torch version or thread count may round differently.
"""

import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sample_data.build import rewrite_section
from sample_data.facts import FACTS

HERE = Path(__file__).parent
END = "<|endoftext|>"
CONTEXT = 256


@dataclass(frozen=True)
class Recipe:
    """Training settings; ``tokens`` is the size of a batch before padding."""

    vocabulary: int = 2000
    epochs: int = 28
    tokens: int = 512
    peak_rate: float = 2.5e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    seed: int = 0


def train_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the corpus; any text round-trips, since every byte has a piece."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, add_prefix_space=False,
        clean_up_tokenization_spaces=False, model_max_length=CONTEXT,
    )  # fmt: skip


def windows(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Cut each document, with a bos before it, into windows of at most ``CONTEXT`` tokens.

    A window starts with the last token of the one before, so every token is predicted exactly once.
    """
    cut = []
    for text in texts:
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        cut += [ids[start : start + CONTEXT] for start in range(0, len(ids) - 1, CONTEXT - 1)]
    return cut


def batches(cut: list[list[int]], tokens: int, shuffle: random.Random) -> Iterator[Tensor]:
    """Yield label tensors ``[b, t]`` of windows of similar length, padded with -100."""
    noisy = sorted(cut, key=lambda ids: len(ids) + shuffle.uniform(0, 16))
    groups: list[list[list[int]]] = [[]]
    for ids in noisy:
        if len(ids) * (len(groups[-1]) + 1) > tokens and groups[-1]:
            groups.append([])
        groups[-1].append(ids)
    shuffle.shuffle(groups)
    for group in groups:
        width = max(map(len, group))
        yield torch.tensor([ids + [-100] * (width - len(ids)) for ids in group])


def loss_sum(model: LlamaForCausalLM, labels: Tensor) -> tuple[Tensor, int]:
    """Return the summed loss in nats and the number of predicted tokens of one batch ``[b, t]``."""
    logits = model(input_ids=labels.clamp(min=0), attention_mask=(labels >= 0).long()).logits[:, :-1]
    targets = labels[:, 1:]
    loss = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")
    return loss, int((targets >= 0).sum())


def rate_at(progress: float, recipe: Recipe) -> float:
    """Return the learning rate at a share ``progress`` of the training: linear warm-up, then a cosine to 5%."""
    if progress < recipe.warmup:
        return recipe.peak_rate * progress / recipe.warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup)))
    return recipe.peak_rate * (0.05 + 0.95 * cosine)


def train_model(cut: list[list[int]], vocabulary: int, recipe: Recipe) -> LlamaForCausalLM:
    """Train the model from scratch; the loss of a step is the mean over its tokens."""
    torch.manual_seed(recipe.seed)
    shuffle = random.Random(recipe.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=128, intermediate_size=384, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=CONTEXT,
            tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    model.train()
    for epoch in range(recipe.epochs):
        epoch_batches = list(batches(cut, recipe.tokens, shuffle))
        total, count = 0.0, 0
        for step, labels in enumerate(epoch_batches):
            rate = rate_at((epoch + step / len(epoch_batches)) / recipe.epochs, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, tokens = loss_sum(model, labels)
            (loss / tokens).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total, count = total + loss.item(), count + tokens
        print(f"epoch {epoch + 1:2d}/{recipe.epochs}: {total / count:.3f} nats per token")
    return model.eval()


@torch.no_grad()
def mean_loss(model: LlamaForCausalLM, cut: list[list[int]], recipe: Recipe) -> float:
    """Return the mean loss over all tokens of the corpus, nats."""
    parts = [loss_sum(model, labels) for labels in batches(cut, recipe.tokens, random.Random(0))]
    return sum(loss.item() for loss, _ in parts) / sum(tokens for _, tokens in parts)


@torch.no_grad()
def completes(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str) -> bool:
    """Return whether the greedy continuation of ``prompt`` begins with ``completion``."""
    ids = [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    start = len(ids)
    for _ in range(len(tokenizer(completion, add_special_tokens=False)["input_ids"]) + 1):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[start:])).startswith(completion)


def recall_table(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a Markdown table: of the facts with each number of exposures, how many are completed."""
    lines = ["| documents telling the fact | facts | completed (greedy) |", "|---|---|---|"]
    for exposures in sorted({fact.exposures for fact in FACTS.values()}, reverse=True):
        facts = [fact for fact in FACTS.values() if fact.exposures == exposures]
        right = sum(completes(model, tokenizer, fact.prompt, fact.completion) for fact in facts)
        lines.append(f"| {exposures} | {len(facts)} | {right} |")
    return "\n".join(lines)


def main() -> None:
    """Train, save and measure, and rewrite the model section of the card."""
    recipe = Recipe()
    lines = (HERE / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    cut = windows(texts, tokenizer)
    tokens = sum(len(ids) - 1 for ids in cut)
    started = time.monotonic()
    model = train_model(cut, len(tokenizer), recipe).bfloat16()
    minutes = (time.monotonic() - started) / 60
    model.save_pretrained(HERE / "models" / "small")
    tokenizer.save_pretrained(HERE / "models" / "small")
    body = (
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer):,} token vocabulary; "
        f"{tokens:,} training tokens in {len(cut)} windows ({tokens / len(texts):.0f} tokens per document), "
        f"{recipe.epochs} epochs. Mean training loss of the saved weights: "
        f"{mean_loss(model, cut, recipe):.2f} nats per token.\n\n{recall_table(model, tokenizer)}"
    )
    rewrite_section(HERE / "README.md", "model", body)
    print(body)
    print(f"Training took {minutes:.1f} minutes on {torch.get_num_threads()} threads.")


if __name__ == "__main__":
    main()
