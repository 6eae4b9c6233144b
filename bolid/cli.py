"""The command line: one short function per command; what they do is in `bolid_data` and `bolid_train`."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from stamina.instrumentation import set_on_retry_hooks

from bolid_data import manifest as manifests
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.printable import escape_unencodable, one_line, printable_json, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From photos on the web to a dataset of people and an adapter that keeps their whole body recognisable.\n\n"
    "Start with: bolid dataset demo",
)

ManifestFile = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="TOML file that describes the dataset, or demo, the one that ships.")
]
Data = Annotated[Path | None, typer.Option(help="The dataset's folder. (default: data/<name of the dataset>)")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _open(path: Path, data: Path | None, **source: Any) -> tuple[manifests.Manifest, Dataset]:
    if path == Path("demo") and not path.is_file():
        path = Path(__file__).with_name("demo.toml")
    manifest = manifests.load(path, {key: value for key, value in source.items() if value is not None})
    return manifest, Dataset(data or Path("data") / manifest.name)


def _tell(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None] | None = None) -> None:
    if as_json:
        print(printable_json(result))
    elif show:
        show(result)


@app.command()
def scrape(
    manifest: ManifestFile,
    data: Data = None,
    base_url: Annotated[str | None, typer.Option(help="Where the site is served, if not at its own address.")] = None,
    max_people: Annotated[int | None, typer.Option(help="Stop after so many people.")] = None,
    max_photos: Annotated[int | None, typer.Option(help="At most so many photos of each person.")] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds between two requests to a host.")] = None,
    recheck_consent: Annotated[
        bool, typer.Option("--recheck-consent", help="Ask the owners of stored photos again; new opt-outs go out.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Collect photos from the manifest's source; run again, it continues and fetches only what is new."""
    from bolid_data.collect.run import scrape as run

    loaded, dataset = _open(
        manifest, data, base_url=base_url, max_people=max_people, max_photos=max_photos, delay=delay
    )
    with dataset.working():
        _tell(run(loaded, dataset, recheck_consent), as_json)


@app.command("filter")
def filter_(
    manifest: ManifestFile,
    data: Data = None,
    rejudge: Annotated[bool, typer.Option("--rejudge", help="Only judge, by new thresholds; no model runs.")] = False,
    measure_all: Annotated[
        bool, typer.Option("--measure-all", help="Measure also photos that are out already.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Where models run: local, or ray for a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, as host:port or auto; without it, one is started here.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what is not yet measured, judge every photo, print the funnel (reason → photos)."""
    from bolid_data.curate import run
    from bolid_data.report.show import print_funnel

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        if rejudge:
            result = run.rejudge(loaded, dataset)
        else:
            result = run.filter_photos(loaded, dataset, measure_all, engine, address)
    _tell(result, as_json, print_funnel)


@app.command()
def caption(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Caption what was kept and has no caption of this model yet."""
    from bolid_data.curate.captions.run import caption_photos

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        _tell(caption_photos(loaded, dataset), as_json)


@app.command()
def shard(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Write kept, captioned photos as WebDataset tars with an index, and lock the dataset."""
    from bolid_data.shards.write import shard as run

    loaded, dataset = _open(manifest, data)
    with dataset.working():
        _tell(run(loaded, dataset), as_json)


@app.command()
def dataset(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Scrape, filter, caption and shard, in this order; each does only what is left."""
    from bolid_data.collect.run import scrape as collect
    from bolid_data.curate.captions.run import caption_photos
    from bolid_data.curate.run import filter_photos
    from bolid_data.report.show import print_funnel
    from bolid_data.shards.write import shard as write

    loaded, folder = _open(manifest, data)
    with folder.working():
        result = {
            "scrape": collect(loaded, folder),
            "filter": filter_photos(loaded, folder),
            "caption": caption_photos(loaded, folder),
            "shard": write(loaded, folder),
        }
    _tell(result, as_json, lambda found: print_funnel(found["filter"]))


@app.command()
def status(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is done and what is left, per person and reason; works while another command runs."""
    from bolid_data.report import show

    _, dataset = _open(manifest, data)
    _tell(show.status(dataset), as_json, show.print_status)


@app.command()
def explain(
    manifest: ManifestFile,
    sha256: Annotated[str, typer.Argument(help="The photo's sha256, or its beginning.")],
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say of one photo where it was seen, what was measured, and why it is in or out."""
    from bolid_data.report import show

    _, dataset = _open(manifest, data)
    _tell(show.explain(dataset.catalog, sha256), as_json, show.print_explanation)


@app.command()
def verify(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Compare photos, shards and the lock: whatever changed, is missing or extra is named, with exit code 1."""
    from bolid_data.shards.lock import verify as run
    from bolid_data.stale import find_stale, note_stale_runs

    _, dataset = _open(manifest, data)
    dataset.settle()
    problems, stale = run(dataset), find_stale(dataset)
    note_stale_runs(stale)
    _tell({"ok": not problems, "problems": problems, "stale_runs": list(stale.runs)}, as_json)
    if problems:
        raise BolidError(f"{dataset.root} is not what its lock says: {len(problems)} differences, listed above")


@app.command()
def rebuild(
    lock: Annotated[
        Path, typer.Argument(metavar="LOCK", help="A dataset.lock.json, its measurements.parquet beside it.")
    ],
    data: Annotated[Path, typer.Option(help="The folder to rebuild the dataset in: an empty one.")],
    base_url: Annotated[str | None, typer.Option(help="Where the site is served, if not at its own address.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the folder lies here that the photos came from.")] = None,
    contact: Annotated[
        str | None, typer.Option(help="Whom sites may ask: mailto:you@example.org. Not needed for this machine.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option(min=0, max=3600, help="Seconds between two requests to a host.")
    ] = None,
    urls: Annotated[
        Path | None,
        typer.Option(help="A CSV or Parquet file of person,url: addresses that the lock has without their secrets."),
    ] = None,
    allow_local: Annotated[
        bool,
        typer.Option("--allow-local", help="Fetch from this machine and private networks, where the lock says so."),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a dataset again from its lock: fetch what it pins, check it, write the same shards, list what is gone."""
    from bolid_data.collect.rebuild import Options, fetch_locked
    from bolid_data.lockfile import read_lock
    from bolid_data.shards.rebuild import rebuild_shards

    pinned, dataset = read_lock(lock), Dataset(data)
    with dataset.working():
        missing = fetch_locked(pinned, dataset, Options(base_url, folder, contact, delay, urls, allow_local))
        result = rebuild_shards(pinned, dataset)
    _tell(missing | result, as_json)
    if result["problem"]:
        raise BolidError(result["problem"])


@app.command()
def repair(
    manifest: ManifestFile,
    data: Data = None,
    nobody_removed: Annotated[
        bool, typer.Option("--nobody-removed", help="Nobody was forgotten or opted out; removed.jsonl may be missing.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Build a lost or damaged catalog again from the lock, its measurements and the photos; say what could not be."""
    from bolid_data.shards.repair import repair as run

    _, dataset = _open(manifest, data)
    if not dataset.root.is_dir():
        raise UsageError(f"{dataset.root}: no such folder; name the dataset's with --data")
    with dataset.working():
        _tell(run(dataset, nobody_removed), as_json)


@app.command()
def forget(
    manifest: ManifestFile,
    person: Annotated[str, typer.Argument(help="The person's slug or name.")],
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a person everywhere, for good: photos, catalog, shards, lock, features; list runs trained on them."""
    from bolid_data.shards import forget as run

    _, dataset = _open(manifest, data)
    if not (yes or sys.stdin.isatty()):
        raise UsageError("forget deletes for good and asks first; off a terminal, say --yes")
    dataset.catalog.require()
    with dataset.working():
        trace = run.find(dataset, person)
        if trace is None:
            _tell({"person": person, "already": True}, as_json, lambda found: say(f"{person} was forgotten before"))
            return
        question = f"Remove {trace.person} and {len(trace.photos)} photos from {dataset.root}? They do not come back."
        if not yes:
            typer.confirm(one_line(question), abort=True, err=True)
        _tell({"already": False, **run.forget(dataset, trace)}, as_json)


@app.command()
def gallery(
    people: Annotated[int, typer.Option(min=1, help="People to draw.")] = 8,
    photos: Annotated[int, typer.Option(min=1, help="Clean photos of each.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other people.")] = 0,
    truth: Annotated[Path | None, typer.Option(help="Copy truth.jsonl, what is true of every file, to here.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8765,
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
        _tell(
            {"base_url": site.base_url},
            as_json,
            lambda result: say(f"gallery at {result['base_url']}/photos/"),
        )
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


@app.command()
def train(
    manifest: ManifestFile,
    data: Data = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train up to this step. (default: the manifest's)")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run. (default: the method's)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run from its last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start a run of this name afresh.")] = False,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints. (default: the manifest's)")
    ] = None,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Train although photos in the shards were withdrawn since.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the manifest's method on the shards; the result loads in stock diffusers."""
    from bolid_data.stale import refuse_stale
    from bolid_train.training.trainer import train as fit

    loaded, dataset = _open(manifest, data)
    dataset.settle()
    if not allow_stale:
        refuse_stale(dataset)
    result = fit(loaded, dataset.root, steps, run, resume, overwrite, checkpoint_every)
    losses = "nothing to train"
    if result["steps"]:
        losses = f"loss {result['first_loss']:.4f} → {result['last_loss']:.4f}"
    _tell(result, as_json, lambda r: say(f"{r['folder']}: {r['steps']} steps, {losses}, {r['seconds']:.0f} s"))


@app.command()
def generate(
    manifest: ManifestFile,
    prompt: Annotated[str, typer.Option(help="What the picture shows.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    photo: Annotated[
        list[Path] | None, typer.Option(help="A photo of the person; give several for a better body.")
    ] = None,
    image_prompt: Annotated[Path | None, typer.Option(help="A picture to take the look from, not the photos.")] = None,
    blend: Annotated[list[Path] | None, typer.Option(help="A photo of a second person, to mix the bodies.")] = None,
    blend_weight: Annotated[float, typer.Option(min=0, max=1, help="Share of the second person's body.")] = 0.5,
    data: Data = None,
    run: Annotated[str | None, typer.Option(help="Name of the run. (default: the method's)")] = None,
    base: Annotated[
        str | None, typer.Option(help="Another base, fine-tuned from the run's: a folder or a hub name.")
    ] = None,
    lightning: Annotated[
        str | None,
        typer.Option(help="SDXL-Lightning, 4 steps: a file, owner/repo/file or small-lightning."),
    ] = None,
    scale_ref: Annotated[float, typer.Option(help="Weight of the reference photo's look.")] = 1.0,
    scale_body: Annotated[float, typer.Option(help="Weight of the body.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same picture.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Pictures, each with the next seed.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps. (default: 30, with --lightning 4)")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="Guidance scale; up to 1 means none. (default: 5, with --lightning 0)"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate pictures from a prompt and no, one or several photos of a person."""
    from bolid_train.inference.generate import Request
    from bolid_train.inference.generate import generate as paint

    loaded, dataset = _open(manifest, data)
    request = Request(
        prompt=prompt,
        out=out,
        run=run,
        photos=photo or [],
        image_prompt=image_prompt,
        blend=blend or [],
        blend_weight=blend_weight,
        scale_ref=scale_ref,
        scale_body=scale_body,
        seed=seed,
        count=count,
        steps=steps,
        guidance=guidance,
        lightning=lightning,
        base=base,
    )
    result = paint(dataset.root, loaded, request)
    _tell(result, as_json, lambda r: say("\n".join(f"{path}: {r['width']}×{r['height']}" for path in r["pictures"])))


@app.command()
def evaluate(
    manifest: ManifestFile,
    data: Data = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Runs by name, as a,b; `a` also means a-seed0, a-seed1…, and the base alone always counts. "
            "(default: all finished)"
        ),
    ] = "",
    runs: Annotated[Path | None, typer.Option(help="The folder of the runs. (default: runs/ of the dataset)")] = None,
    split: Annotated[str, typer.Option(help="Whose people are measured on.")] = "val",
    views: Annotated[
        str, typer.Option(help="Photos of a person that a method gets, as 1,8; 0 draws the body by the prompt.")
    ] = "0,1,8",
    people: Annotated[int | None, typer.Option(min=2, help="At most so many people.")] = None,
    lightning: Annotated[
        str | None,
        typer.Option(help="SDXL-Lightning: a file, owner/repo/file or small-lightning. (default: the manifest's)"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Draw with the base in so many steps, no Lightning.")] = None,
    guidance: Annotated[float, typer.Option(min=0, help="Guidance scale, with --steps.")] = 5.0,
    evaluators: Annotated[
        str | None,
        typer.Option(
            help="What measures the pictures: small-world for drawn people, photos for photos. (default: by the base)"
        ),
    ] = None,
    open_test_sets: Annotated[
        bool, typer.Option("--open-test-sets", help="Measure on test people: only when all else is done.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure runs on people they have not seen: table.json, table.md and grid.png in evaluation/."""
    from bolid_train.evaluate.run import evaluate as measure
    from bolid_train.evaluate.run import numbers, sampling

    loaded, dataset = _open(manifest, data)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    how = sampling(loaded, lightning, steps, guidance)
    result = measure(loaded, dataset.root, names, split, numbers(views), people, how, open_test_sets, evaluators, runs)
    _tell(result, as_json, lambda r: say((Path(r["folder"]) / "table.md").read_text(encoding="utf-8")))


def main() -> None:
    """Runs a command; an error becomes one line on stderr and an exit code, a traceback only with --debug."""
    # Threads that spin while they wait make a busy machine ten times slower; read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    set_on_retry_hooks([])  # that a request is repeated is not news
    escape_unencodable(sys.stdout, sys.stderr)
    try:
        app()
    except BolidError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped; what is done is kept, and the same command continues", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except ModuleNotFoundError as error:
        _fail(f"this command needs {error.name}, which is not installed; run `pip install 'bolid[all]'`", 1)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} (unexpected; run again with --debug, and report it)", 1)


def _fail(message: str, code: int) -> None:
    if "--debug" in sys.argv:  # also where the error is in reading the arguments themselves
        import traceback

        traceback.print_exc()
    print(f"bolid: error: {one_line(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)
