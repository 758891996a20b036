"""From what was measured to the study that the report shows."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from decompose_distill.backend import identity
from decompose_distill.evaluation.contamination import Overlap, find_overlap
from decompose_distill.evaluation.results import Comparison, Report, Result
from decompose_distill.experiments.cell_cost import cell_cost
from decompose_distill.experiments.components import student_place
from decompose_distill.experiments.measurement import SeedRun
from decompose_distill.experiments.setup import TEST, ExperimentSetup
from decompose_distill.experiments.training_data import Training
from decompose_distill.experiments.variants import BASELINE, COMPARED, SOLVER, TEACHER, VARIANTS
from decompose_distill.models.loading import context_window, load_config, load_tokenizer
from decompose_distill.reporting.study import (
    Cell,
    Flow,
    Grid,
    LossCurve,
    MaskedRow,
    Place,
    Study,
)
from decompose_distill.training.checkpoints.checkpoint import load_losses
from decompose_distill.training.data.examples import make_examples
from decompose_distill.training.data.tokenization import tokenize
from decompose_distill.types import fingerprint_line

DECOMPOSER = (("S_D-R", SOLVER), ("S_D-T", SOLVER), ("S_D-uplift", SOLVER))
DISTILLED_SOLVER = tuple((TEACHER, name) for name in ("S_E-R", "S_E-T", "S_E-A", "answer-only"))
"""Cells the answer on top compares with the teacher's: the first of each that was measured."""


def make_cell(
    setup: ExperimentSetup,
    training: Training,
    where: Place,
    repeats: Sequence[SeedRun],
    overlap: Overlap | None,
) -> Cell:
    """One cell with its scores and its cost."""
    name = " × ".join(where)
    reports = (
        Report(name, "", tuple(Result(trace, None) for trace in repeat.traces), overlap=overlap)
        for repeat in repeats
    )
    scored = tuple(report.rescore(setup.score) for report in reports)
    return Cell(*where, scored, cell_cost(setup, training, where, repeats))


def overlaps(setup: ExperimentSetup) -> Mapping[str, Overlap]:
    """By split, what of it is among the training questions, where anything is trained."""
    if not setup.learns:
        return {}
    return {split: find_overlap(setup.train, asked) for split, asked in setup.splits.items()}


def build_study(
    setup: ExperimentSetup,
    training: Training,
    title: str,
    cells: Mapping[str, Sequence[Cell]],
    found: Mapping[str, Overlap],
    left_out: Sequence[str],
) -> Study:
    """Everything the report shows."""
    main = {cell.place: cell for cell in cells[TEST]}
    return Study(
        title,
        tuple(cells[TEST]),
        teacher=BASELINE,
        decomposer=next((each for each in DECOMPOSER if each in main), None),
        solver=next((each for each in DISTILLED_SOLVER if each in main), None),
        comparisons=tuple(_comparisons(main)),
        transfers=tuple(Grid(each, tuple(cells[each])) for each in setup.splits if each != TEST),
        flows=tuple(_flow(training, variant) for variant in setup.variants),
        losses=tuple(_losses(setup, training)),
        masked_rows=tuple(_masked_rows(setup, training)),
        warnings=(*(warn(split, each) for split, each in found.items() if each), *left_out),
        settings=_settings(setup),
    )


def warn(split: str, overlap: Overlap) -> str:
    """What to say of questions that were trained on."""
    return f"{split or 'test'}: contaminated, {overlap}"


def _comparisons(cells: Mapping[Place, Cell]) -> Iterator[Comparison]:
    for first, baseline in COMPARED:
        one, other = cells.get(first), cells.get(baseline)
        if one and other and one.values.keys() & other.values.keys():
            yield one.compare(other)


def _flow(training: Training, variant: str) -> Flow:
    screened = training.screened(variant)
    return Flow(variant, len(training.traces), len(screened.kept), screened.dropped)


def _losses(setup: ExperimentSetup, training: Training) -> Iterator[LossCurve]:
    for variant in setup.variants:
        for seed in setup.seeds:
            losses = load_losses(student_place(setup, training, variant, seed)[0])
            several = f", seed {seed}" if len(setup.seeds) > 1 else ""
            train = tuple(enumerate(losses.train, start=1))
            yield LossCurve(variant + several, train, losses.validation)


def _masked_rows(setup: ExperimentSetup, training: Training) -> Iterator[MaskedRow]:
    """The first example of each student, token by token as it was trained."""
    if not setup.variants:
        return
    tokenizer = load_tokenizer(setup.student.model)
    window = context_window(load_config(setup.student.model))
    for variant in setup.variants:
        learned = VARIANTS[variant]
        prompt = setup.student.prompt_for(learned.target)
        kept = training.screened(variant).kept[:1]
        for example in make_examples(kept, learned.role, prompt, learned.target):
            row = tokenize(tokenizer, example, window)
            tokens = tuple(tokenizer.decode([token]) for token in row.ids[row.start :])
            yield MaskedRow(variant, tokenizer.decode(row.ids[: row.start]), tokens)


def _settings(setup: ExperimentSetup) -> dict[str, str]:
    counts = {split or "test": len(asked) for split, asked in setup.splits.items()}
    settings = {"Teacher": identity(setup.teacher)}
    settings |= {f"Column {name}": identity(each) for name, each in setup.solvers.items()}
    settings["Student"] = str(setup.student.model)
    settings["Training questions"] = f"{len(setup.train):,}, {setup.samples} traces each"
    settings["Measured questions"] = ", ".join(f"{n:,} {split}" for split, n in counts.items())
    settings["Score"] = Report("", "", ()).rescore(setup.score).scored_by
    settings["Training"] = fingerprint_line("DistillConfig", setup.student.config)
    settings["Training seeds"] = ", ".join(map(str, setup.seeds))
    packages = ("decompose-distill", "torch", "transformers")
    settings["Versions"] = ", ".join(f"{name} {version(name)}" for name in packages)
    return settings
