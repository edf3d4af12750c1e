"""Papers' numbers beside ours: the same figure, by the judge that answers as papers' do, and where protocols differ."""

import pytest

from unveil.cli.tables import show
from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.published import NOT_REPRODUCED, Published
from unveil.leaderboard import page
from unveil.leaderboard.published import beside
from unveil.leaderboard.site.build import build

EVIL = "<script>alert('x')</script>"


def said(defense="none", attack="gmi", **more):
    return Published(**{"defense": defense, "attack": attack, "accuracy": 0.904, "source": "A paper, table 1", **more})


@pytest.fixture(scope="module")
def with_papers(results):
    papers = (
        said(top5=0.99, knn=1247.28, utility=0.95, source=f"A paper {EVIL}", differs=[f"400 people {EVIL}"]),
        said("bido", "kedmi", accuracy=0.3),
        said("tl_dmi+bido", "kedmi"),
        said("mid", "gmi"),
    )
    told = {"published": papers, "scale": 0.01, "cuts": (f"gmi: {EVIL}",), "reproduced": False}
    return results.model_copy(update={"rows": tuple(map(had_to_name_somebody, results.rows)), **told})


def had_to_name_somebody(row):
    """The row with what its first judge says where it must name a private person; it knows others, too."""
    first = [f for f in row.figures[:1] if f.judge == "resnet18_open"]
    return row.model_copy(update={"figures": (*row.figures, *(f.model_copy(update={"closed": True}) for f in first))})


def test_the_judge_that_must_name_somebody_is_compared_over_all_seeds(with_papers):
    first, averaged, failed, absent = beside(with_papers)
    names = [pair.name for pair in first.pairs]
    assert names == ["top-1 by efficientnet_closed", "top-5", "KNN distance", "utility"]
    assert (first.pairs[0].published, first.pairs[0].inside) == ("90.4\u00a0%", False)
    assert first.pairs[1].here == "not measured"  # of that judge, and another's would be another question
    assert first.pairs[3].inside is True
    assert averaged.pairs[0].here[0].isdigit()  # of two seeds one failed
    assert failed.pairs[0].here == "failed: seed 0: TrainingError: the loss became NaN in epoch 7 of 30"
    assert absent.pairs[0].here == "not run"
    told = " | ".join(first.differs)
    assert told.startswith("400 people")
    for words in ("rehearsal here, at scale 0.01", "here: 40 people, 400 pictures, 2 seeds", "closed names 64."):
        assert words in told


def test_page_site_and_terminal_say_so_and_nothing_breaks_out(with_papers, capsys):
    html = page.render(with_papers)
    files = build([Exhibit("mine", with_papers)])
    site = files["matrices/mine/index.html"].decode()
    for text in (html, site):
        assert text.count("<script>alert") == 0
        for part in ('id="published"', "Rehearsal at scale 0.01", NOT_REPRODUCED.capitalize(), "A paper &lt;script"):
            assert part in text
    assert "rehearsal at scale 0.01" in files["matrices.html"].decode()
    assert "rehearsal at scale 0.01" in files["index.html"].decode()
    show(with_papers)
    out = capsys.readouterr().out
    assert "top-1 by efficientnet_closed" in out
    assert NOT_REPRODUCED in out
    assert "a rehearsal at scale 0.01" in out


def test_a_plan_without_papers_has_no_word_of_it(results, rendered, capsys):
    assert beside(results) == ()
    show(results)
    for text in (rendered, capsys.readouterr().out):
        assert "As published" not in text
        assert "ehearsal" not in text


def test_a_rehearsal_is_ranked_with_no_whole_matrix(results, with_papers):
    files = build([Exhibit("whole", results), Exhibit("tried", with_papers)])
    assert files["index.html"].decode().count('class="rank-set"') == 2
