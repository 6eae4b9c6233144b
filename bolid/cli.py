"""The command line: one short function per command. The work is done in `bolid_data` and `bolid_train`."""

import os
import re
import shlex
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from stamina.instrumentation import set_on_retry_hooks
from typer.core import TyperGroup

from bolid import (
    decision_commands,
    group_command,
    publish_command,
    report_command,
    review_command,
    setup_commands,
    training_commands,
)
from bolid.log import LogFile, Verbose, logging_to
from bolid.options import Data, Debug, Json, ManifestFile, command, note_synthetic, say_next
from bolid.options import open_dataset as _open
from bolid.options import print_result as _print_result
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, ManifestError, StoppedError, UsageError
from bolid_data.printable import escape_unencodable, one_line, say
from bolid_data.words import counted


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before Typer ends the process without a word
            raise StoppedError from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Builds a dataset of people from photos, and trains an adapter that keeps their whole body recognisable.\n\n"
    "Start with: bolid dataset demo",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"bolid {version('bolid')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def scrape(
    manifest: ManifestFile,
    data: Data = None,
    base_url: Annotated[str | None, typer.Option(help="URL at which the site is served, if not its own.")] = None,
    max_people: Annotated[int | None, typer.Option(help="Stop after this many people.")] = None,
    max_photos: Annotated[int | None, typer.Option(help="At most this many photos of each person.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds between two requests to a host.")] = None,
    recheck_consent: Annotated[
        bool,
        typer.Option("--recheck-consent", help="Check stored photos for new opt-outs; those photos leave the dataset."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count people, photos and bytes; no photo is fetched.")
    ] = False,
    log: LogFile = None,
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Collect photos from the manifest's source; later runs continue and fetch only what is new."""
    from bolid_data.collect.dry_run import count
    from bolid_data.collect.run import scrape as run

    if dry_run and recheck_consent:
        raise UsageError("--dry-run and --recheck-consent: use one at a time")
    loaded, dataset = _open(
        manifest, data, base_url=base_url, max_people=max_people, max_photos=max_photos, delay=delay
    )
    with logging_to(log, verbose):
        if dry_run:
            counts = count(loaded, dataset)
            _print_result({"dry_run": True, **asdict(counts)}, as_json, lambda _: say(f"would collect {counts}"))
            say_next(command("scrape", manifest, data))
            return
        with dataset.working():
            _print_result(run(loaded, dataset, recheck_consent), as_json)
    say_next(command("filter", manifest, data), result=dataset.store.root)


@app.command("filter")
def filter_(
    manifest: ManifestFile,
    data: Data = None,
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Only judge again, by new thresholds; no model runs.")
    ] = False,
    measure_all: Annotated[
        bool, typer.Option("--measure-all", help="Also measure photos that are out already.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Where models run: local, or ray for a Ray cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster, host:port or auto; without it, a cluster is started on this machine."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure photos that are not measured yet, judge every photo, print the funnel (reason → photos)."""
    from bolid_data.curate import run
    from bolid_data.report.show import print_funnel

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        if rejudge:
            result = run.rejudge(loaded, dataset)
        else:
            result = run.filter_photos(loaded, dataset, measure_all, engine, address)
    _print_result(result, as_json, lambda funnel: print_funnel(funnel, loaded.filter.people))
    if result["kept"]:
        say_next(command("caption", manifest, data))
    else:  # thresholds are too strict, or the photos of another kind
        again = command("filter", manifest, data, "--rejudge")
        say_next(f"{command('status', manifest, data)} for the reasons; change [filter], and run {again}")


@app.command()
def caption(
    manifest: ManifestFile,
    data: Data = None,
    set_: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--set",
            metavar="PHOTO TEXT",
            help="Caption a photo by hand: its sha256's first digits, path or file name. An empty text undoes it.",
        ),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="DIR", help="Read captions by hand from .txt files.")
    ] = None,
    export: Annotated[Path | None, typer.Option(metavar="DIR", help="Write captions to .txt files.")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of these captions, such as short or tags. (default: the manifest's caption.use)"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Caption kept photos that have no caption yet, by a model; or set, import and export captions by hand."""
    from bolid_data.curate.captions import by_hand
    from bolid_data.curate.captions.run import caption_photos

    if sum(option is not None for option in (set_, import_, export)) > 1:
        raise UsageError("--set, --import and --export: use one at a time")
    if name is not None and not re.fullmatch("[a-z0-9_]{0,40}", name):
        raise UsageError(f"--name {name}: a caption's name is made of [a-z0-9_], such as short or tags")
    if name is not None and not (set_ or import_ or export):
        raise UsageError("--name belongs to --set, --import or --export; a model's captions have none")
    loaded, dataset = _open(manifest, data)
    with dataset.working():
        if set_:
            result = by_hand.set_caption(loaded, dataset, *set_, name)
        elif import_:
            result = by_hand.import_captions(loaded, dataset, import_, name)
        elif export:
            result = by_hand.export_captions(loaded, dataset, export, name)
        else:
            result = caption_photos(loaded, dataset)
        _print_result(result, as_json)
    if export:
        again = command("caption", manifest, data, shlex.join(["--import", str(export)]))
        say_next(f"edit them, then {again}", result=export)
    else:
        say_next(command("shard", manifest, data), command("export", manifest, data, "DIR --to …"))


@app.command()
def shard(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Write kept, captioned photos as WebDataset tars with an index, and lock the dataset."""
    from bolid_data.shards.write import shard as run

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        _print_result(run(loaded, dataset), as_json)
    say_next(command("train", manifest, data), result=dataset.shards)


@app.command()
def dataset(
    manifest: ManifestFile,
    data: Data = None,
    log: LogFile = None,
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Scrape, filter, caption and shard, in this order; each step does only what is left."""
    from bolid_data.collect.run import scrape as collect
    from bolid_data.curate.captions.run import caption_photos
    from bolid_data.curate.run import filter_photos
    from bolid_data.report.show import print_funnel
    from bolid_data.shards.write import shard as write

    loaded, folder = _open(manifest, data)
    with logging_to(log, verbose), folder.working():
        result = {
            "scrape": collect(loaded, folder),
            "filter": filter_photos(loaded, folder),
            "caption": caption_photos(loaded, folder),
            "shard": write(loaded, folder),
        }
    _print_result(result, as_json, lambda steps: print_funnel(steps["filter"], loaded.filter.people))
    note_synthetic(loaded)
    say_next(command("status", manifest, data), command("train", manifest, data), result=folder.shards)


@app.command()
def export(
    manifest: ManifestFile,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to: a new one, or an earlier export.")],
    to: Annotated[str, typer.Option(help="kohya, ai-toolkit, diffusers, imagefolder or webdataset.")],
    data: Data = None,
    person: Annotated[list[str] | None, typer.Option(help="Only this person; may be given several times.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=10_000, help="For kohya: how often an epoch shows a photo.")] = 1,
    trigger: Annotated[
        str | None,
        typer.Option(help="Word in front of every caption. (default: the manifest's caption.trigger)"),
    ] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Link photos that need no conversion instead of copying them.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write kept photos and captions as another trainer reads them: upright JPEGs without metadata."""
    from bolid_data.shards.exports.run import Request
    from bolid_data.shards.exports.run import export as run

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        request = Request(to, folder, person or [], repeats, trigger, links)
        result = run(loaded, dataset, request)
        _print_result(result, as_json)
    say_next(result["usage"], result=folder)


@app.command()
def status(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is done and what is left, per person and reason; also while another command runs."""
    from bolid_data.report import show

    loaded, dataset = _open(manifest, data)
    result = show.status(dataset)
    _print_result(result, as_json, lambda status: show.print_status(status, loaded.filter.people))
    todo = [step for step, _ in show.steps_left(result)]
    say_next(command(todo[0] if todo else "train", manifest, data))


@app.command()
def explain(
    manifest: ManifestFile,
    photo: Annotated[
        str, typer.Argument(help="The photo, by its path or file name, or the first digits of its sha256.")
    ],
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show where a photo was seen, what was measured, and why it is in or out."""
    from bolid_data.report import show

    _, dataset = _open(manifest, data)
    _print_result(show.explain(dataset.catalog, photo), as_json, show.print_explanation)
    say_next(
        f"{command('keep', manifest, data, 'PHOTO --why …')} to decide by hand",
        f"change a threshold of [filter], and run {command('filter', manifest, data, '--rejudge')}",
    )


@app.command()
def verify(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Compare photos, shards and lock; list what changed, is missing or is extra, with exit code 1."""
    from bolid_data.shards.lock import verify as run
    from bolid_data.stale import find_stale, note_stale_runs

    _, dataset = _open(manifest, data)
    dataset.settle()
    problems, stale = run(dataset), find_stale(dataset)
    note_stale_runs(stale)
    _print_result({"ok": not problems, "problems": problems, "stale_runs": list(stale.runs)}, as_json)
    if problems:
        raise BolidError(
            f"{dataset.root} does not match its lock: {counted(len(problems), 'difference')}, listed above"
        )
    say_next(command("train", manifest, data))


@app.command()
def rebuild(
    lock: Annotated[
        Path, typer.Argument(metavar="LOCK", help="A dataset.lock.json, with measurements.parquet beside it.")
    ],
    data: Annotated[Path, typer.Option(help="Folder in which the dataset is rebuilt: an empty one.")],
    base_url: Annotated[str | None, typer.Option(help="URL at which the site is served, if not its own.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the original photos on this machine, for a folder source.")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(
            help="Your address, mailto:NAME@HOST or a URL, which sites are told. Not needed for this machine."
        ),
    ] = None,
    delay: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Seconds between two requests to a host.")
    ] = None,
    urls: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet file with person,url: full URLs whose secrets the lock omits."),
    ] = None,
    allow_local: Annotated[
        bool,
        typer.Option("--allow-local", help="Fetch from this machine and private networks if the lock names them."),
    ] = False,
    log: LogFile = None,
    verbose: Verbose = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a dataset again from its lock: fetch and check its photos, write the same shards, list what is gone."""
    from bolid_data.collect.rebuild import Options, fetch_locked
    from bolid_data.lockfile import read_lock
    from bolid_data.shards.rebuild import rebuild_shards

    pinned, dataset = read_lock(lock), Dataset(data)
    with logging_to(log, verbose), dataset.working():
        missing = fetch_locked(pinned, dataset, Options(base_url, folder, contact, delay, urls, allow_local))
        result = rebuild_shards(pinned, dataset)
    _print_result(missing | result, as_json)
    if result["problem"]:
        raise BolidError(result["problem"])
    say_next(f"bolid train MANIFEST --data {data}", result=dataset.shards)


@app.command()
def repair(
    manifest: ManifestFile,
    data: Data = None,
    nobody_removed: Annotated[
        bool,
        typer.Option("--nobody-removed", help="Nobody was forgotten or opted out, so removed.jsonl may be missing."),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Build a lost or damaged catalog again from the lock, its measurements and the photos; list what is lost."""
    from bolid_data.shards.repair import repair as run

    _, dataset = _open(manifest, data)
    if not dataset.root.is_dir():
        raise UsageError(f"{dataset.root}: no such folder; name the dataset's folder with --data")
    with dataset.working():
        _print_result(run(dataset, nobody_removed), as_json)
    say_next(command("dataset", manifest, data), result=dataset.catalog.path)


@app.command()
def forget(
    manifest: ManifestFile,
    person: Annotated[str, typer.Argument(help="The person's slug or name.")],
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a person everywhere, for good: photos, catalog, shards, lock, features; list runs trained on them."""
    from bolid_data.shards import forget as run

    _, dataset = _open(manifest, data)
    if not (yes or sys.stdin.isatty()):
        raise UsageError("forget deletes for good and asks for confirmation; without a terminal, it needs --yes")
    dataset.catalog.require()
    with dataset.working():
        trace = run.find(dataset, person)
        if trace is None:
            _print_result({"person": person, "already": True}, as_json, lambda _: say(f"{person} was forgotten before"))
            say_next(command("verify", manifest, data))
            return
        photos = counted(len(trace.photos), "photo")
        question = f"Remove {trace.person} and {photos} from {dataset.root}? They do not come back."
        if not yes:
            typer.confirm(one_line(question), abort=True, err=True)
        _print_result({"already": False, **run.forget(dataset, trace)}, as_json)
    say_next(command("verify", manifest, data))


@app.command()
def gallery(
    people: Annotated[int, typer.Option(min=1, help="People to draw.")] = 8,
    photos: Annotated[int, typer.Option(min=1, help="Clean photos of each person.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Different seeds draw different people.")] = 0,
    truth: Annotated[
        Path | None, typer.Option(help="Where to copy truth.jsonl, the ground truth of every file.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 chooses a free one.")] = 8765,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Serve the embedded gallery of drawn people on this machine, until Ctrl-C."""
    import shutil
    import threading

    from bolid_data.gallery import draw_gallery, serve_gallery

    folder = draw_gallery(people, photos, seed)
    if truth:
        shutil.copyfile(folder / "truth.jsonl", truth)
    with serve_gallery(folder, port) as site:
        _print_result(
            {"base_url": site.base_url},
            as_json,
            lambda result: say(f"gallery at {result['base_url']}/photos/"),
        )
        say_next(f"bolid init {site.base_url} in another terminal; Ctrl-C ends the gallery")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


for _function in (
    training_commands.train, training_commands.generate, training_commands.evaluate,
    setup_commands.init, setup_commands.doctor, setup_commands.schema, group_command.group,
    report_command.report, publish_command.publish, review_command.review,
):  # fmt: skip
    app.command()(_function)
for _name, _decision in decision_commands.COMMANDS.items():
    app.command(_name)(_decision)


def main() -> None:
    """Runs a command. An error is printed as one line on stderr, or as a line for each mistake of a manifest, and sets
    the exit code; --debug adds the traceback."""
    # Threads that spin while they wait make a busy machine ten times slower; torch reads this when first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    set_on_retry_hooks([])  # retries are not logged
    escape_unencodable(sys.stdout, sys.stderr)
    try:
        app()
    except ManifestError as error:
        _fail(*error.mistakes, code=error.exit_code)
    except BolidError as error:
        _fail(str(error), code=error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", code=1)
    except ModuleNotFoundError as error:
        _fail(f"this command needs {error.name}, which is not installed; run `pip install 'bolid[all]'`", code=1)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} (unexpected; run again with --debug, and report it)", code=1)


def _fail(*messages: str, code: int) -> None:
    if "--debug" in sys.argv:  # also if the arguments themselves cannot be parsed
        import traceback

        traceback.print_exc()
    for message in messages:
        print(f"bolid: error: {one_line(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)
