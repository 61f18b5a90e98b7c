"""Fit how sure the preview engine is of an outline, on pictures whose truth is known, and report on others."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from benchmarks import report
from benchmarks.portraits import Portrait, take
from benchmarks.report import Figure
from gpu_handlers import cutout
from gpu_handlers.pixels import fit
from gpu_handlers.regions import overlap
from gpu_handlers.salience import Wish

#: Pictures in all: of each four, the first two are fitted on, the others are reported on.
PICTURES = 200
#: An outline is right when so much of it is (intersection over union).
RIGHT = 0.75


def main() -> None:
    """Fit, print what to write into `cutout.WEIGHTS`, and judge the weights that stand there now."""
    looked = [look for portrait in take(PICTURES) if (look := examine(portrait))]
    signs, right = (np.array(column) for column in zip(*looked, strict=True))
    kept = np.arange(len(right)) % 4 > 1
    model = LogisticRegression(C=10).fit(signs[~kept], right[~kept])
    print("fitted:", *(round(float(weight), 2) for weight in (*model.coef_[0], *model.intercept_)))
    sure = 1 / (1 + np.exp(-(signs[kept] @ cutout.WEIGHTS[:-1] + cutout.WEIGHTS[-1])))
    figures = judge(sure, right[kept], PICTURES - len(looked))
    print(report.table(figures))
    print(report.write("calibrate", figures))


def examine(portrait: Portrait) -> tuple[tuple[float, ...], bool] | None:
    """Find the object: what speaks for it, and whether it is right; None if none is found."""
    drawn = cutout.outline(portrait.image, Wish())
    if drawn is None:
        return None
    best, all_drawn = drawn
    truth = fit(portrait.truth, cutout.DRAW) > 0.5
    return cutout.signs(best, all_drawn), overlap(best.region, truth) > RIGHT


def judge(sure: np.ndarray, right: np.ndarray, missed: int) -> list[Figure]:
    """Judge the confidence on pictures that it was not fitted on."""
    doubted = sure < cutout.DOUBTFUL
    bands = [(low, low + 0.25) for low in (0.25, 0.5, 0.75)]
    inside = [(low, high, (sure >= low) & (sure < high)) for low, high in bands]
    return [
        Figure("pictures reported on", len(right)),
        Figure("pictures in which nothing was found", missed),
        Figure("outlines that are right", float(right.mean())),
        Figure("Brier score", float(brier_score_loss(right, sure))),
        Figure("Brier score of always saying their share", float(right.mean() * (1 - right.mean()))),
        Figure("area under the ROC curve", float(roc_auc_score(right, sure))),
        Figure("wrong outlines that come with a warning", float(doubted[~right].mean())),
        Figure("right outlines that come with one", float(doubted[right].mean())),
        *(
            Figure(f"right where {low}–{high} sure (n={band.sum()})", float(right[band].mean()) if band.any() else 0.0)
            for low, high, band in inside
        ),
    ]


if __name__ == "__main__":
    main()
