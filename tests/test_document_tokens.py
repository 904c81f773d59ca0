"""Units of a document carry the sums of their tokens' influence."""

import numpy as np

from engine.analysis.document_tokens import START_PLACE, scale_of, token_table, unit_influence
from engine.analysis.units import display_units
from engine.corpus import Tokens
from engine.run import TokenInfluence

TEXT = "a世b "
TOKENS = Tokens(np.arange(5), np.array([0, 1, 1, 1, 2]), np.array([1, 2, 2, 2, 3]))  # 世 in three bytes
VALUES = np.array([[0.5, 1, 2, 3, 4, -5], [0, -1, 1, 1, 1, 1]], dtype=np.float32)


def test_units_add_up_to_the_document_and_the_pieces_of_a_character_to_its_unit():
    units = display_units(TEXT, TOKENS)
    summed = unit_influence(TokenInfluence("position", VALUES, True), units)
    assert [TEXT[unit.start : unit.end] for unit in units] == ["a", "世", "b", " "]
    assert summed.tolist() == [[0.5, 1, 9, -5, 0], [0, -1, 3, 1, 0]]
    assert np.allclose(summed.sum(1), VALUES.sum(1))


def test_without_a_start_token_its_column_is_zero():
    summed = unit_influence(TokenInfluence("prediction", VALUES[:, 1:], False), display_units(TEXT, TOKENS))
    assert summed[:, 0].tolist() == [0, 0]


def test_the_table_ranks_by_strength_and_shares_add_up_on_each_side():
    units = display_units(TEXT, TOKENS)
    table = token_table(TEXT, units, unit_influence(TokenInfluence("position", VALUES, True), units)[0])
    assert table["text"].tolist() == ["世", "b", "a", ""]  # the blank has no token, the last is the start token
    assert table["place"].tolist() == [1, 4, 0, START_PLACE]
    assert table["tokens"].tolist() == [3, 1, 1, 1]
    shares = table.groupby(table["influence"] > 0)["share"].sum()
    assert np.allclose(shares, 1)


def test_a_document_without_influence_has_no_shares():
    units = display_units(TEXT, TOKENS)
    assert token_table(TEXT, units, np.zeros(5))["share"].tolist() == [0, 0, 0]


def test_one_outlier_does_not_pale_a_long_text():
    assert scale_of([1.0] * 500 + [1000.0]) == 1.0
    assert scale_of([1.0, -5.0]) == 5.0
    assert scale_of([]) == scale_of([0.0, 0.0]) == 1.0
