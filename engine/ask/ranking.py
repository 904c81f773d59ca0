"""The first stage of a question: all documents in a quick order, by the run's index and by shared tokens."""

from collections.abc import Sequence

from engine.ask.answer import Ranking, Way
from engine.corpus import Query, tokenize
from engine.index.fusion import by_tokens, fused
from engine.index.recall import QUICK
from engine.index.search import noted_index, read_index
from engine.index.show import recall_sentence
from engine.live import LoadedRun
from engine.progress import Progress
from engine.queries import QueryGradient, QueryResult


def rank(
    loaded: LoadedRun,
    questions: Sequence[Query],
    results: Sequence[QueryResult],
    measurement: str,
    exact: int,
    progress: Progress,
) -> list[Ranking]:
    """A first ranking of all documents for each question.

    A document's score is the sum of its standard scores by index, where the run has one, by shared tokens and by shared
    pairs of tokens: each finds documents that the others miss.

    Args:
        loaded: The run with its model.
        questions: The questions.
        results: What the model says of each.
        measurement: What was measured.
        exact: Documents that will be scored exactly.
        progress: Where progress is reported.
    """
    progress.start("Counting shared tokens", 1, "pass")
    tokens = [tokenize(loaded.model.tokenizer, one.prompt + one.completion).ids for one in questions]
    said = [sum(row["side"] == "completion" for row in result.tokens) for result in results]
    found = by_tokens(loaded.run.folder, tokens, said)
    progress.advance(1)
    progress.finish()
    index, by, recall = read_index(loaded), Way.WORDS, ""
    if index is not None:
        recall = recall_sentence(noted_index(loaded), QUICK, exact)
        gradients = [QueryGradient(result.sides, result.hidden) for result in results]
        by, found = Way.INDEX, [index.scores(index.sketches(gradients), progress), *found]
    return [
        Ranking(question, measurement, result.tokens, by, values, recall)
        for question, result, values in zip(questions, results, fused(*found), strict=True)
    ]
