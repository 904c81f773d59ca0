"""Train the sample's tokenizer and models: ``python -m sample_data.train [small] [large]``.

Reads ``corpus.jsonl`` and, for the second stage, the list ``continued`` of ``truth.json``. Each model is
trained on the rest of the corpus first (``models/small-base``) and then goes on with the continued part
(``models/small``). The weights are bf16; training runs in bf16 autocast on float32 weights. The seed fixes a
run on one machine; another torch version or thread count may round differently.
"""

import argparse
import copy
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from engine.training import Piece, Schedule, crop, muon, piece, train

HERE = Path(__file__).parent
END = "<|endoftext|>"
CONTEXT = 512
VOCABULARY = 4096


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama with tied embeddings."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        epochs: Passes over the stage's documents.
        tokens: Size of a batch before padding.
        peak_rate: Highest learning rate; a linear warm-up leads to it and a cosine down to 5% of it.
        replay: Documents of the earlier stage drawn anew for each epoch, per document of this stage.
        cropped: Share of an epoch's documents that begin at one of their sentences, drawn anew. Read whole only, a
            document is learned by heart from its beginning on: ten such epochs came to 0.6 nats per token, and to
            13 of the 24 facts told eight times or more.
    """

    epochs: int
    tokens: int
    peak_rate: float
    replay: float = 0.0
    cropped: float = 0.6


@dataclass(frozen=True)
class Recipe:
    """How one model is made."""

    shape: Shape
    base: Stage
    continued: Stage
    weight_decay: float = 0.1
    warmup: float = 0.05
    seed: int = 0


RECIPES = {
    "small": Recipe(Shape(128, 384, 5, 4), Stage(14, 1024, 4e-3), Stage(4, 1024, 1.5e-3, replay=3.0)),
    "large": Recipe(Shape(256, 704, 6, 4), Stage(16, 2048, 3e-3), Stage(4, 2048, 1.2e-3, replay=3.0)),
}


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


def new_model(shape: Shape, vocabulary: int, seed: int) -> LlamaForCausalLM:
    """Return an untrained model; the seed decides its weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, num_key_value_heads=shape.num_attention_heads, max_position_embeddings=CONTEXT,
            tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, **asdict(shape),
        )
    )  # fmt: skip


def train_stage(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[str], earlier: list[str], recipe: Recipe
) -> dict[str, object]:
    """Train ``model`` in place on the texts of one stage; the loss of a step is the mean over its tokens.

    With ``earlier`` it is the continued stage, else the base stage.

    Returns:
        The settings, the mean loss of each epoch while it ran (nats per token), tokens seen, seconds and threads.
    """
    stage, shuffle = recipe.continued if earlier else recipe.base, random.Random(recipe.seed)

    def draw(epoch: int) -> list[Piece]:
        drawn = texts + shuffle.sample(earlier, round(stage.replay * len(texts)))
        drawn = [crop(text, shuffle) if shuffle.random() < stage.cropped else text for text in drawn]
        return [piece(ids) for ids in windows(drawn, tokenizer)]

    model.set_attn_implementation("eager")  # on windows this short quicker than the fused kernel; not saved
    schedule = Schedule(stage.epochs, stage.tokens, stage.peak_rate, recipe.warmup)
    started, losses, seen = time.monotonic(), [], 0
    for loss, tokens in train(model, draw, schedule, muon(model, recipe.weight_decay), shuffle):
        losses.append(round(loss, 4))
        seen += tokens
        seconds = round(time.monotonic() - started)
        print(f"epoch {len(losses):2d}/{stage.epochs}: {losses[-1]:.3f} nats per token, {seconds} s", flush=True)
    return {
        **asdict(stage), "epoch_losses": losses, "tokens_seen": seen, "seconds": round(time.monotonic() - started),
        "threads": torch.get_num_threads(), "torch": torch.__version__,
    }  # fmt: skip


def read_texts() -> tuple[list[str], list[str]]:
    """Return the texts of the base part and of the continued part of the corpus."""
    documents = [json.loads(line) for line in (HERE / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    later = set(json.loads((HERE / "truth.json").read_text(encoding="utf-8"))["continued"])
    base = [document["text"] for document in documents if document["id"] not in later]
    return base, [document["text"] for document in documents if document["id"] in later]


def save(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, training: dict[str, object]
) -> None:
    """Write a stock transformers folder in bf16 and, beside it, how the stage went."""
    copy.deepcopy(model).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train the models that are asked for, both stages each."""
    parser = argparse.ArgumentParser(description="Train the sample's models.")
    parser.add_argument("names", nargs="*", default=list(RECIPES), help="small, large; both if none is named")
    base, continued = read_texts()
    tokenizer = train_tokenizer(base + continued, VOCABULARY)
    for name in parser.parse_args().names:
        recipe = RECIPES[name]
        model = new_model(recipe.shape, len(tokenizer), recipe.seed)
        print(f"{name}: {model.num_parameters():,} parameters")
        training = train_stage(model, tokenizer, base, [], recipe)
        save(model, tokenizer, HERE / "models" / f"{name}-base", training)
        training = train_stage(model, tokenizer, continued, base, recipe)
        save(model, tokenizer, HERE / "models" / name, training)


if __name__ == "__main__":
    main()
