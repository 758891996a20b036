"""distill(): kept traces → examples → audited rows → steps → checkpoint."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from decompose_distill import filters, prompts
from decompose_distill.console import deferred_interrupt, has_overview, progress_bar, say
from decompose_distill.keys import fingerprint
from decompose_distill.models.devices import named_device
from decompose_distill.models.loading import (
    context_window,
)
from decompose_distill.storage.atomic import telling_full_disk
from decompose_distill.storage.traces import TraceSource, as_traces
from decompose_distill.training.checkpoints.checkpoint import (
    check_output_dir,
    check_student,
    partial,
    publish,
    save_student,
    snapshot,
    verify_reload,
    versions,
    working_folder,
)
from decompose_distill.training.checkpoints.manifest import Losses, Manifest
from decompose_distill.training.checkpoints.publishing import (
    base_licence,
    check_push,
    model_card,
    push,
)
from decompose_distill.training.checkpoints.resume import (
    TrainState,
    begin,
    begun_on,
    load_progress,
    load_state,
    save_state,
)
from decompose_distill.training.config import DistillConfig, warn_of_absurd
from decompose_distill.training.data.audit import show_rows
from decompose_distill.training.data.batching import Share, plan_batches
from decompose_distill.training.data.examples import Role, Target, TokenizedExample
from decompose_distill.training.data.preparation import Prepared, Task, make_task, prepare
from decompose_distill.training.data.token_dataset import TokenDataset
from decompose_distill.training.engine.compiling import pays
from decompose_distill.training.engine.forward import Forward, choose_forward
from decompose_distill.training.engine.loop import train, validation_loss
from decompose_distill.training.engine.optimizer import Optimizer
from decompose_distill.training.engine.ranks import Ranks, joined
from decompose_distill.training.engine.student import (
    add_adapters,
    align_tokens,
    check_packages,
    load,
    whole_student,
)
from decompose_distill.training.engine.throughput import ProductShare
from decompose_distill.training.trackers import Report, ReportTo, check_report_to, reporting
from decompose_distill.types import Sampling, Trace


def distill(
    traces: TraceSource,
    *,
    student: str | Path,
    output_dir: str | Path,
    role: Role = "decomposer",
    target: Target | None = None,
    keep: filters.Filter | filters.FilterName = filters.complete,
    prompt: prompts.Prompt | None = None,
    validation: float | Iterable[Trace] = 0.0,
    config: DistillConfig | None = None,
    report_to: ReportTo | None = None,
    push_to_hub: str | None = None,
    progress: bool = True,
) -> Path:
    """Fine-tune a student on a teacher's traces, for one role, and save it as a checkpoint.

    The loss is on the completion and its end token only (arXiv 2402.15000, section 3:
    sequence-level distillation). Before the first step an audit looks for what would spoil the
    student in silence; after the last one the saved student is read back and compared with the
    one in memory. Stopped by Ctrl-C, a kill or a full disk, the same call goes on from the last
    state, to the same weights. The checkpoint is an ordinary Hugging Face directory with a
    manifest, and holds the prompt: load it with `Decomposer.from_pretrained` or
    `Solver.from_pretrained`.

    In several processes, as `torchrun` starts them, the same call trains one student together, on
    one `output_dir` that all of them see; one that was stopped goes on with any number of them.

    Args:
        traces: Such as `read_traces(path)`, read once as a stream, or that path.
        student: Hub id, directory or `.gguf` file of the model to start from.
        output_dir: A new or empty directory. States go to `<output_dir>.partial` meanwhile.
        role: What the student learns to be.
        target: What a solver learns to write: the teacher's `rationale` (the default, the
            paper's S_E-T), a `gold_rationale` whose final answer is the gold one (S_E-A), or
            the gold `answer` alone. A decomposer always learns `subquestions`.
        keep: Filter that chooses the traces, or its name: for a decomposer `filters.complete`
            gives the paper's S_D-T, `filters.correct` its S_D-R; for a solver S_E-T and S_E-R.
        prompt: The student's prompt, which may be shorter than the teacher's; by default that
            of the target.
        validation: Share of the questions to hold out, or traces of your own. The checkpoint
            is then the state with the smallest loss on them, not the last one.
        config: Training settings; by default `DistillConfig()`.
        report_to: Where to log each step: `tensorboard`, `wandb` or `trackio`; by default
            nowhere.
        push_to_hub: Hub repository to upload the checkpoint to, as a private one if it is new.
        progress: Show kept and dropped traces, three rows with the trained tokens marked, and
            a progress bar, as `collect` does.

    Returns:
        The directory of the checkpoint.

    Raises:
        ConfigError: An argument is wrong, `output_dir` has other content, or its unfinished run
            had other settings.
        BackendError: The student cannot be loaded, or the hub refused it.
        MissingExtraError: A package is missing: peft for `lora_rank`, bitsandbytes for 4 or 8
            bits, or that of `report_to`.
        TrainingError: No trace was kept, the audit found a fault, or the loss is not finite.
        CheckpointError: A state or the student could not be written, or reads back otherwise.

    Example:
        ```python
        checkpoint = dd.distill(
            dd.read_traces("traces.jsonl"),
            student="HuggingFaceTB/SmolLM2-135M-Instruct",
            output_dir="runs/student",
            keep=dd.filters.correct,
        )
        student = dd.Decomposer.from_pretrained(checkpoint)
        ```
    """
    directory = Path(output_dir)
    task = make_task(student, role, target, prompt, config)
    with joined(task.config.device) as ranks:
        if ranks.first:
            warn_of_absurd(task.config)
        ranks.agree(output_dir=str(directory), **fingerprint(task))
        _check_extras(task.config, report_to, push_to_hub if ranks.first else None)
        ranks.once(lambda: check_output_dir(directory))
        ranks.once(lambda: check_student(student))
        progress = progress and ranks.first
        folders = working_folder(directory) if ranks.first else nullcontext(partial(directory))
        with telling_full_disk(directory), folders as folder:
            prepared, settings = ranks.once(
                lambda: _begin(task, as_traces(traces), keep, validation, folder, progress)
            )
            logs = directory.with_name(f"{directory.name}.logs")
            with reporting(report_to if ranks.first else None, logs, settings) as report:
                model, state = _train(task, prepared, folder, report, progress, ranks)
            ranks.once(lambda: _save(task, prepared, model, state, folder / "student", directory))
        if push_to_hub and ranks.first:
            say(push(directory, push_to_hub), show=progress)
    return directory


def _begin(
    task: Task,
    traces: Iterable[Trace],
    keep: filters.Filter | filters.FilterName,
    validation: float | Iterable[Trace],
    folder: Path,
    progress: bool,
) -> tuple[Prepared, dict[str, Any]]:
    """Prepare the rows and open the run: the rows, and what the run is known by."""
    rows, day = folder / "rows", begun_on(folder)
    prepared = prepare(task, traces, keep, validation, rows, day=day, progress=progress)
    details = progress and not has_overview()
    say(f"{prepared}\n\n{show_rows(prepared.tokenizer, prepared.train)}\n", show=details)
    settings = fingerprint(task) | {
        "data": prepared.sha256,
        "template": prepared.template.to_json(),
    }
    # Runs that are under way on disk hold the examples also if there are none.
    settings["prompt"] = {"examples": [], **settings["prompt"]}
    begin(folder, settings)
    return prepared, settings


def _check_extras(config: DistillConfig, report_to: ReportTo | None, repo_id: str | None) -> None:
    check_report_to(report_to)
    if config.device is not None:
        named_device(config.device)
    check_packages(config)
    if repo_id:
        check_push(repo_id)


def _train(
    task: Task, prepared: Prepared, folder: Path, report: Report, progress: bool, ranks: Ranks
) -> tuple[Any, TrainState]:
    """Train to the end, from the newest state if there is one: the model, and how it went."""
    model, config = load(task, ranks), task.config
    wrapper = add_adapters(model, task)
    lengths = prepared.train.lengths
    forward = choose_forward(
        model,
        longest=max(*lengths, *prepared.validation.lengths, 0),
        packing=config.packing,
        tokens=config.tokens_per_pass,
        compiled=pays(config.compile, model, config.epochs * sum(lengths)),
    )
    forward = replace(forward, tokens=min(ranks.gather(forward.tokens)))
    optimizer = Optimizer(model, config, ranks)
    if (before := ranks.once(lambda: load_progress(folder))).step:
        load_state(folder, optimizer, before.step, ranks)
        say(f"going on after step {before.step}", show=progress)
    state = before
    for state in _states(
        config,
        prepared,
        forward,
        optimizer=optimizer,
        state=before,
        report=report,
        progress=progress,
        ranks=ranks,
    ):
        save_state(folder, optimizer, state, ranks)
    if state.best_step != state.step:
        load_state(folder, optimizer, state.best_step, ranks)
    return whole_student(wrapper or model, task, ranks), state


def _states(
    config: DistillConfig,
    prepared: Prepared,
    forward: Forward,
    *,
    optimizer: Optimizer,
    state: TrainState,
    report: Report,
    progress: bool,
    ranks: Ranks,
) -> Iterator[TrainState]:
    """Train on, yielding whenever the state is worth saving."""
    an_epoch = -(-len(prepared.train) // config.batch_size)
    steps, every = config.epochs * an_epoch, config.save_steps or an_epoch
    batches = islice(_batches(prepared.train, config, ranks), state.step, None)
    losses, seconds = list(state.losses), state.seconds
    share = ProductShare(forward.model)
    bar = progress_bar("training", steps, "step", done=state.step, show=progress)
    with bar, deferred_interrupt(show=ranks.size == 1) as stop:
        if _stale(state, config):
            return
        for step in train(
            forward, optimizer, batches, steps, config, done=state.step, ranks=ranks, stop=stop
        ):
            losses.append(step.loss)
            seconds += step.seconds
            if step.out_of_memory:
                few = f"going on with {step.tokens_per_pass} tokens per pass"
                say(f"out of memory: {few}", show=progress)
            rate = f"{step.tokens / step.seconds:,.0f} tokens/s"
            bar.note(f"loss {step.loss:.3f}, {rate}")
            bar.update()
            report(step.number, step.figures | share(step.tokens, step.seconds))
            due = step.number % every == 0 or step.number == steps
            if not (due or (stop() if ranks.size == 1 else step.stopping)):
                continue
            checked = state.validation
            if due and len(prepared.validation):
                loss = validation_loss(forward, prepared.validation, ranks)
                checked = (*checked, (step.number, loss))
                report(step.number, {"validation_loss": loss})
                details = progress and not has_overview()
                say(f"step {step.number}: validation loss {loss:.4f}", show=details)
            state = TrainState(step.number, tuple(losses), checked, seconds)
            yield state
            stop.check()
            if _stale(state, config):
                return


def _batches(
    rows: TokenDataset, config: DistillConfig, ranks: Ranks
) -> Iterator[list[TokenizedExample] | Share]:
    lengths = rows.lengths
    plan = plan_batches(
        lengths, config.batch_size, config.epochs, config.seed, group=not config.packing
    )
    if ranks.size > 1:
        return (Share.dealt(rows, indices, ranks.rank, ranks.size) for indices in plan)
    return ([rows[index] for index in indices] for indices in plan)


def _stale(state: TrainState, config: DistillConfig) -> bool:
    return config.patience is not None and state.stale >= config.patience


def _save(
    task: Task,
    prepared: Prepared,
    model: Any,
    state: TrainState,
    directory: Path,
    output_dir: Path,
) -> None:
    """Write the student, read it back and compare, and move it to `output_dir`."""
    adapted = task.config.lora_rank is not None
    if adapted and task.config.merge_lora:
        model, adapted = model.merge_and_unload(), False
    whole = model.get_base_model() if adapted else model
    align_tokens(whole, prepared.tokenizer)
    most = prepared.train.most_targets
    room = context_window(whole.config) - prepared.train.most_prompt
    trained = snapshot(whole, prepared.tokenizer, prepared.shown)
    manifest = Manifest(
        task.role,
        task.target,
        prompt=task.prompt,
        sampling=Sampling(max_new_tokens=max(most, min(2 * most, room))),
        base_model=task.student,
        data={
            "sha256": prepared.sha256,
            "kept": len(prepared.train),
            "held_out": len(prepared.validation),
            "dropped": dict(prepared.dropped),
        },
        config=asdict(task.config),
        figures=_figures(state),
        versions=versions(),
        template=prepared.template.to_json(),
    )
    card = model_card(manifest, licence=base_licence(task.student))
    losses = Losses(state.losses, state.validation)
    save_student(directory, model, prepared.tokenizer, card, manifest, losses)
    verify_reload(directory, trained, prepared.shown, whole.dtype, str(whole.device))
    publish(directory, output_dir)


def _figures(state: TrainState) -> dict[str, Any]:
    last = state.losses[-10:]
    figures = {
        "steps": state.step,
        "first_loss": state.losses[0],
        "last_loss": sum(last) / len(last),
        "seconds": state.seconds,
    }
    if state.validation:
        best = min(loss for _, loss in state.validation)
        figures |= {"best_step": state.best_step, "validation_loss": best}
    return figures
