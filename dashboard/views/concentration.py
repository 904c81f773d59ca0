"""Is this completion owed to a few documents or to many?"""

from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.analyses import concentration as analyses
from dashboard.components import text
from dashboard.components.completion_tokens import choose_tokens
from dashboard.components.concentration_charts import VERBS, cumulative_chart, lorenz_chart, tail_chart
from dashboard.components.concentration_inside import inside_documents
from dashboard.components.concentration_tokens import rare_and_frequent
from dashboard.components.document_panel import Choice
from dashboard.components.downloads import download
from dashboard.components.figure import show_figure
from dashboard.components.page import ask, choose_completion
from dashboard.components.report_button import report_button
from dashboard.components.run_choice import need_scores

SIGNS: dict[str, analyses.Sign] = {"Raised it": "positive", "Lowered it": "negative", "Both": "both"}
PARTS = ("Among documents", "Rare and frequent tokens", "Inside documents")
NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FEW = 10
Z95 = 1.96
REJECTED = 0.1
"""A power law whose fit has a smaller p-value is rejected (Clauset et al. 2009)."""
SIGNIFICANT = 0.05
HOW_TO_READ = """
**Cumulative share.** The strongest documents come first; a curve that rises early means that few documents carry the
influence. The grey band is what influences drawn from a normal distribution with the same mean and spread would give.
The yellow band keeps the influences on each token of the completion and deals them out anew among the documents: a
curve above it means that the same documents are strong on several tokens.

**Effective number.** (sum of influences)² / sum of squares: as many equal documents would be as concentrated.
**Gini coefficient**: 0 if all documents that {verb} it count the same, near 1 if one holds everything.

**Tail.** The share of documents with at least a given influence falls like influence to the power of minus the
exponent. The smaller the exponent, the heavier the tail; at 2 or less the variance has no limit as the corpus grows.
The standard error takes the beginning of the range as given. The chart leaves out the weakest tenth of the documents.

**Intervals** resample documents: they say how far a number depends on which documents of this kind happen to be in the
corpus. They are too narrow where the tail is heavy (exponent below 2 for shares, below 4 for the effective number).
Of more than {many:,} documents, only those that are strong on a token are dealt out one by one for the yellow band; it
is then too wide for the number of documents and their total.

**What this cannot tell.** Whether the influence is real: noise in the estimate spreads over many documents and makes
influence look less concentrated. Nor whether near copies share what one of them alone would hold.
"""


def main() -> None:
    """Draw the page."""
    run = ask("Is this completion owed to a few documents or to many?")
    completion = choose_completion(run)
    need_scores(run, "there is no influence that could be owed to few documents or to many")
    choice = Choice(run, completion, choose_tokens(run, completion, "Measured"))
    label = st.segmented_control(
        "Influence that", list(SIGNS), default="Raised it", required=True, key="sign", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    sign = SIGNS.get(label, "positive")
    documents, tokens, inside = st.tabs(PARTS, key="part", bind="query-params", on_change="rerun")
    with documents:
        if documents.open:
            _documents(choice, sign)
    with tokens:
        if tokens.open:
            rare_and_frequent(choice, sign)
    with inside:
        if inside.open:
            inside_documents(choice, sign)


def _documents(choice: Choice, sign: analyses.Sign) -> None:
    """How the influence is shared out among documents."""
    with st.spinner("Drawing documents anew…"):
        found = analyses.concentration(choice.run, choice.completion.query, choice.tokens, sign)
    if not found.measures.at["documents", "value"]:
        st.info(f"No document {VERBS[sign]} it. Look at the other direction.", icon=":material/swap_vert:")
        return
    shuffled = len(choice.rows) > 1
    _answer(choice, found, sign, shuffled)
    charts = {
        "Cumulative share": cumulative_chart(found.curve, found.measures, sign, shuffled),
        "Lorenz curve": lorenz_chart(found.lorenz, found.measures.at["gini", "value"], sign),
        "Tail": tail_chart(found.tail, found.fit, sign, choice.unit),
    }
    table = _table(choice, found, sign, shuffled)
    with st.container(horizontal=True):
        download(
            {"Measures": table.drop(columns="digits")} | _curves(found, shuffled),
            data.provenance(choice.run, choice.completion)
            | {"completion_tokens": ",".join(map(str, choice.rows)), "influence_that": VERBS[sign]} | analyses.DRAWN,
            "concentration", "download_concentration", charts,
        )  # fmt: skip
        report_button(choice.run, choice.completion)
    show_figure(
        charts["Cumulative share"], key="chart_cumulative", height=430,
        alt="Cumulative share of influence against the rank of documents, beside what chance gives.",
    )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    with left:
        show_figure(charts["Lorenz curve"], key="chart_lorenz", alt="Lorenz curve of the documents' influence.")
        gini = found.measures.loc["gini"]
        st.caption(
            f"Gini coefficient {gini['value']:.2f} (95% interval {_span(gini['low'], gini['high'], '{:.2f}'.format)}); "
            f"normal influences would give {_span(gini['null_low'], gini['null_high'], '{:.2f}'.format)}."
        )
    with right:
        show_figure(charts["Tail"], key="chart_tail", alt="Share of documents with at least a given influence.")
        st.caption(_tail_sentence(found, sign, choice.unit))
    _show(table, shuffled)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(HOW_TO_READ.format(verb=VERBS[sign], many=analyses.FEW_ENOUGH))


def _answer(choice: Choice, found: analyses.Concentration, sign: analyses.Sign, shuffled: bool) -> None:
    """The page's answer: what the strongest documents carry, and how many equal ones they amount to."""
    what = ("these tokens" if len(choice.tokens) > 1 else "this token") if choice.tokens else "this completion"
    held, few, number = (found.measures.loc[name] for name in ("documents", "top_10", "effective_number"))
    documents = int(held["value"])
    if documents <= FEW:
        many = "document" if documents == 1 else "documents"
        st.markdown(f"## Only {NUMERALS[documents]} {many} {VERBS[sign]} {what}.")
    else:
        st.markdown(
            f"## Ten documents carry {text.share(few['value'])} of all that {VERBS[sign]} {what} "
            f"(95% interval {_span(few['low'], few['high'], text.share)})."
        )
    st.markdown(
        f"Their effective number, of equal documents that would be as concentrated, is **{_count(number['value'])}** "
        f"({_span(number['low'], number['high'], _count)}) of {documents:,} that {VERBS[sign]} it. Influences drawn "
        f"from a normal distribution would give {_span(number['null_low'], number['null_high'], _count)}"
        + (
            "; the same influences shuffled among the documents, token by token, "
            f"{_span(number['shuffled_low'], number['shuffled_high'], _count)}."
            if shuffled
            else "."
        )
        + _verdict(number, shuffled)
    )


def _verdict(number: pd.Series, shuffled: bool) -> str:
    """Where the effective number lies beside what chance gives."""
    value = number["value"]
    if value > number["null_high"]:
        return " So it is owed to **more** documents than normal influences would give."
    if value >= number["null_low"]:
        return " So it is **no more concentrated** than normal influences."
    if shuffled and value < number["shuffled_low"]:
        return " So it is owed to **fewer** documents than either would give."
    return " So it is owed to **fewer** documents than normal influences would give."


def _tail_sentence(found: analyses.Concentration, sign: analyses.Sign, unit: str) -> str:
    """The tail in words, as careful as the tests of it."""
    fit = found.fit
    if fit is None:
        return f"Fewer than 50 documents {VERBS[sign]} it, or all alike: too few to fit a power law to."
    said = (
        f"From {_amount(fit.x_min)} to {_amount(fit.x_max)} {unit} ({fit.tail:,} of {fit.values:,} documents) the "
        f"share of documents with as much or more falls as a power law with exponent {fit.exponent:.2f} ± "
        f"{fit.standard_error:.2f} (standard error). "
    )
    said += (
        f"The fit is rejected ({text.p_value(fit.p_value)}): read the exponent as a summary. "
        if fit.p_value < REJECTED
        else f"The fit is not rejected ({text.p_value(fit.p_value)}). "
    )
    if fit.nested_p < SIGNIFICANT:
        said += f"A lognormal describes this range better ({text.p_value(fit.nested_p)})."
    else:
        said += f"A lognormal describes this range no better ({text.p_value(fit.nested_p)})"
        upper = found.upper_half
        if upper is not None and upper.nested_p < SIGNIFICANT:
            said += f", but over the stronger half of the documents it does ({text.p_value(upper.nested_p)})."
        else:
            said += ", which may be for lack of documents; it is no proof of a power law."
    return said


def _table(choice: Choice, found: analyses.Concentration, sign: analyses.Sign, shuffled: bool) -> pd.DataFrame:
    """Every measure with its interval and what chance gives; ``digits`` says how its numbers are written."""
    labels = {
        "documents": (f"Documents that {VERBS[sign]} it", "count"),
        "total": (f"Sum of their influence, {choice.unit}", "amount"),
        "top_10": ("Share of the ten strongest", "share"),
        "top_share": ("Share of the top 1% of these documents", "share"),
        "top_share_of_all": ("Share of as many as 1% of all documents", "share"),
        "gini": ("Gini coefficient", "index"),
        "effective_number": ("Effective number of documents", "count"),
    }
    rows = found.measures.loc[list(labels)].reset_index(drop=True)
    rows.insert(0, "measure", [label for label, _ in labels.values()])
    rows["digits"] = [digits for _, digits in labels.values()]
    if found.fit is not None:
        exponent, error = found.fit.exponent, Z95 * found.fit.standard_error
        tail = {"measure": "Exponent of the tail", "value": exponent, "low": exponent - error, "high": exponent + error}
        rows = pd.concat([rows, pd.DataFrame([tail | {"digits": "index"}])], ignore_index=True)
    return rows if shuffled else rows.drop(columns=["shuffled_low", "shuffled_high"])


def _curves(found: analyses.Concentration, shuffled: bool) -> dict[str, pd.DataFrame]:
    """What the charts are drawn of, and the fits of the tail with their tests."""
    curve = found.curve if shuffled else found.curve.drop(columns=["shuffled_low", "shuffled_high"])
    tables = {"Cumulative share": curve, "Lorenz curve": found.lorenz, "Tail": found.tail}
    ranges = {"nearest to a power law": found.fit, "stronger half of the documents": found.upper_half}
    fits = [{"range": name} | asdict(fit) for name, fit in ranges.items() if fit is not None]
    return tables | ({"Tail fit": pd.DataFrame(fits)} if fits else {})


def _show(table: pd.DataFrame, shuffled: bool) -> None:
    """The table of measures, its numbers written out."""
    write = {"count": _count, "share": text.share, "index": "{:.2f}".format, "amount": _amount}
    bands = {"interval": "", "normal": "null_"} | ({"shuffled": "shuffled_"} if shuffled else {})
    shown = pd.DataFrame({"measure": table["measure"]})
    shown["value"] = [write[row.digits](row.value) for row in table.itertuples()]
    for name, prefix in bands.items():
        ends = table[[f"{prefix}low", f"{prefix}high", "digits"]].to_numpy()
        shown[name] = ["" if pd.isna(low) else _span(low, high, write[digits]) for low, high, digits in ends]
    column = st.column_config.TextColumn
    st.dataframe(
        shown, hide_index=True, key="table_of_measures", height="content", alt="Measures of concentration",
        column_config={
            "measure": column("Measure"), "value": column("Value"),
            "interval": column("95% interval", help="Documents resampled; of the exponent: 1.96 standard errors."),
            "normal": column("Normal influences", help="What as many of the same mean and spread give."),
            "shuffled": column("Shuffled", help="What the influences on each token give, dealt out anew."),
        },
    )  # fmt: skip


def _span(low: float, high: float, write) -> str:
    """An interval with its unit said once."""
    first, last = write(low), write(high)
    return first if first == last else f"{first.removesuffix('%')}–{last}"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= FEW or value == int(value) else f"{value:.1f}"


def _amount(value: float) -> str:
    return text.number(value).removeprefix("+")


main()
