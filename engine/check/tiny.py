"""A model small enough for exact answers, trained on the spot, and what it is checked on."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from engine.batching import Batch, pad
from engine.corpus import Document, Query, read_corpus, tokenize
from engine.errors import WhenceError
from engine.losses import token_log_probs
from engine.model import LanguageModel, prepare
from engine.windows import Cutting

START = "<|start|>"
VOCABULARY, CONTEXT, WIDTH, INNER, LAYERS, HEADS = 320, 32, 16, 24, 2, 2
TRAINING_STEPS, LEARNING_RATE = 200, 1e-2
COMPLETION_TOKENS = 3


@dataclass(frozen=True)
class Tiny:
    """The model and its texts.

    Attributes:
        model: In float64.
        documents: What it was trained on: the beginnings of a corpus's documents, one window each.
        windows: All of them in one batch.
        queries: Beginnings of other documents, each with its next few tokens as the completion.
        loss: Mean loss at the end of training, in nats per token.
    """

    model: LanguageModel
    documents: list[Document]
    windows: Batch
    queries: list[Query]
    loss: float


def make_tiny(corpus: str | Path, documents: int, queries: int, seed: int) -> Tiny:
    """Train a GPT-2 of two layers on the beginnings of a corpus's first documents.

    Args:
        corpus: JSONL file of documents.
        documents: Documents to train on.
        queries: Completions to study, from the documents after those.
        seed: Of the weights.

    Raises:
        WhenceError: If the corpus has too few documents that are long enough.
    """
    texts = [document for document in islice(read_corpus(corpus), 50 * (documents + queries)) if document.text.strip()]
    tokenizer = _tokenizer([document.text for document in texts])
    cut = [found for document in texts if (found := _beginning(document, tokenizer))]
    if len(cut) < documents + queries:
        raise WhenceError(
            f"{corpus} has {len(cut)} documents of at least {CONTEXT} tokens -- the check trains on {documents} and "
            f"asks about {queries} others -- give a larger corpus, or ask for fewer."
        )
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=WIDTH, n_inner=INNER, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id, attn_implementation="eager",
    )  # fmt: skip
    network = GPT2LMHeadModel(config).double().eval()
    chosen, others = cut[:documents], cut[documents : documents + queries]
    cutting = Cutting(tokenizer.bos_token_id, CONTEXT, 0)
    windows = pad(
        [
            window
            for number, document in enumerate(chosen)
            for window in cutting.windows(number, document.id, tokenize(tokenizer, document.text).ids)
        ],
        torch.device("cpu"),
    )
    loss = _train(network, windows)
    model = prepare("tiny", network, tokenizer, CONTEXT)
    return Tiny(model, chosen, windows, [_query(document, tokenizer) for document in others], loss)


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[START], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=START)


def _beginning(document: Document, tokenizer: PreTrainedTokenizerFast) -> Document | None:
    """The document up to the end of its window; None where it is shorter."""
    tokens = tokenize(tokenizer, document.text)
    if len(tokens.ids) < CONTEXT:
        return None
    text = document.text[: int(tokens.starts[CONTEXT - 1])]
    return Document(document.id, text, document.source, document.language, document.title)


def _query(document: Document, tokenizer: PreTrainedTokenizerFast) -> Query:
    tokens = tokenize(tokenizer, document.text)
    place = int(tokens.starts[len(tokens.ids) - COMPLETION_TOKENS])
    prompt, completion = document.text[:place], document.text[place:]
    return Query(document.id, prompt, completion, "Continuation", document.language, document.title)


def _train(network: GPT2LMHeadModel, windows: Batch) -> float:
    """Full-batch Adam to a loss that hardly falls any more; returns it."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAINING_STEPS)
    loss = torch.zeros(())
    with torch.enable_grad():
        for _ in range(TRAINING_STEPS):
            optimizer.zero_grad()
            logits = network(input_ids=windows.input_ids, use_cache=False).logits
            log_probs = token_log_probs(logits, windows.targets) * windows.loss_mask
            loss = -log_probs.sum() / windows.loss_mask.sum()
            loss.backward()
            optimizer.step()
            schedule.step()
    return loss.item()
