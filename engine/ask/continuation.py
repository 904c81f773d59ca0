"""What the model itself would say next: the likeliest token again and again."""

import numpy as np
import torch

from engine.capture import run_network
from engine.corpus import tokenize
from engine.errors import CorpusError
from engine.model import LanguageModel
from engine.progress import Progress


@torch.no_grad()
def continuation(model: LanguageModel, prompt: str, length: int, progress: Progress) -> str:
    """The model's own continuation of a prompt, by the likeliest token at each step, up to its end token.

    Args:
        model: The model.
        prompt: The prompt.
        length: Longest continuation, in tokens.
        progress: Advanced by each token.

    Raises:
        CorpusError: If nothing can stand before the continuation, the context is full, or the model says nothing.
    """
    start = [] if model.start_token is None else [model.start_token]
    before = [*start, *tokenize(model.tokenizer, prompt).ids.tolist()]
    if not 0 < len(before) < model.context:
        raise CorpusError(
            f"the prompt has {len(before)} tokens, the model's context {model.context} -- it needs one token to go on "
            "from and room for another -- change the prompt."
        )
    progress.start("Continuing the prompt", length)
    said: list[int] = []
    while len(said) < min(length, model.context - len(before)):
        ids = torch.tensor([before + said], device=model.device)
        likeliest = int(run_network(model, ids)[0][0, -1].argmax())
        if likeliest in np.atleast_1d(model.tokenizer.eos_token_id or -1):
            break
        said.append(likeliest)
        progress.advance(1)
    progress.finish()
    text: str = model.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if not text:
        raise CorpusError(f"the model ends after {prompt!r} -- there is nothing to trace -- give a completion.")
    return text
