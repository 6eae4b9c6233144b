"""The commands that train and use an adapter: `train`, `generate` and `evaluate`.

Each opens the dataset before it imports PyTorch, which takes seconds: a wrong manifest is an error at once.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bolid.options import Data, Debug, Json, ManifestFile, command, note_synthetic, open_dataset, print_result, say_next
from bolid_data.errors import UsageError
from bolid_data.printable import say
from bolid_data.stale import refuse_stale


def train(
    manifest: ManifestFile,
    data: Data = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Train up to this step; 0 publishes what it starts from. (default: the manifest's)"),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run. (default: the method's)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a run from its last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run of this name.")] = False,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints. (default: the manifest's)")
    ] = None,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Train even if photos in the shards have been withdrawn.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the manifest's method on the shards; stock diffusers loads the result."""
    loaded, dataset = open_dataset(manifest, data)
    dataset.settle()
    if not allow_stale:
        refuse_stale(dataset)
    from bolid_train.training.trainer import train as fit

    result = fit(loaded, dataset.root, steps, run, resume, overwrite, checkpoint_every)
    losses = "nothing to train"
    if result["steps"]:
        losses = f"loss {result['first_loss']:.4f} → {result['last_loss']:.4f}"
    print_result(result, as_json, lambda r: say(f"{r['folder']}: {r['steps']} steps, {losses}, {r['seconds']:.0f} s"))
    note_synthetic(loaded)
    rest = f'{f"--run {shlex.quote(run)} " if run else ""}--prompt "…" --photo PHOTO --out image.png'
    say_next(command("generate", manifest, data, rest), result=Path(result["folder"]))


def generate(
    manifest: ManifestFile,
    prompt: Annotated[str, typer.Option(help="What the image shows.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    photo: Annotated[list[Path] | None, typer.Option(help="A photo of the person; several give a better body.")] = None,
    image_prompt: Annotated[
        Path | None, typer.Option(help="An image that replaces the photos as the reference.")
    ] = None,
    blend: Annotated[list[Path] | None, typer.Option(help="A photo of a second person, to blend the bodies.")] = None,
    blend_weight: Annotated[float, typer.Option(min=0, max=1, help="Share of the second person's body.")] = 0.5,
    person: Annotated[
        list[Path] | None,
        typer.Option(help="One of several people in the image: a photo, or a folder of photos; each needs a --box."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="left,top,right,bottom in pixels: where the --person of the same number is to be."),
    ] = None,
    pose: Annotated[
        Path | None,
        typer.Option(
            help="For methods conditioned on a pose: a photo of anyone in it, or standing, arms-raised, hands-on-hips, "
            "walking or sitting. (default: that of the base's image)"
        ),
    ] = None,
    data: Data = None,
    run: Annotated[str | None, typer.Option(help="Name of the run. (default: the method's)")] = None,
    base: Annotated[
        str | None, typer.Option(help="Another base, fine-tuned from the run's: a folder or a hub name.")
    ] = None,
    lightning: Annotated[
        str | None,
        typer.Option(help="SDXL-Lightning, 4 steps: a file, owner/repo/file or small-lightning."),
    ] = None,
    scale_ref: Annotated[
        float | None, typer.Option(help="Weight of the reference photo, λ_ref. (default: the method's, usually 1)")
    ] = None,
    scale_body: Annotated[
        float | None, typer.Option(help="Weight of the body, λ_body. (default: the method's, usually 1)")
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="NAME=WEIGHT: the weight of another condition of the method.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Of the image, in pixels. (default: the run's)")] = None,
    height: Annotated[int | None, typer.Option(help="Of the image, in pixels. (default: the run's)")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What the image does not show.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same image.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of images, each with the next seed.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps. (default: 30, with --lightning 4)")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="Guidance scale; up to 1 means none. (default: 5, with --lightning 0)"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate images from a prompt and zero or more photos of a person."""
    loaded, dataset = open_dataset(manifest, data)
    from bolid_train.inference.generate import Request
    from bolid_train.inference.generate import generate as generate_images

    request = Request(
        prompt=prompt,
        out=out,
        run=run,
        photos=photo or [],
        image_prompt=image_prompt,
        blend=blend or [],
        blend_weight=blend_weight,
        people=person or [],
        boxes=box or [],
        pose=pose,
        scale_ref=scale_ref,
        scale_body=scale_body,
        scales=_weights(scale or []),
        width=width,
        height=height,
        negative_prompt=negative_prompt,
        seed=seed,
        count=count,
        steps=steps,
        guidance=guidance,
        lightning=lightning,
        base=base,
    )
    result = generate_images(dataset.root, loaded, request)
    print_result(
        result, as_json, lambda r: say("\n".join(f"{path}: {r['width']}×{r['height']}" for path in r["pictures"]))
    )
    note_synthetic(loaded, base)
    say_next("the same command with another --seed or --prompt", result=out)


def _weights(scales: list[str]) -> dict[str, float]:
    pairs = [scale.partition("=") for scale in scales]
    try:
        return {name: float(weight) for name, _, weight in pairs}
    except ValueError:
        raise UsageError("--scale: give a name and a weight, such as --scale pose=0.5") from None


def evaluate(
    manifest: ManifestFile,
    data: Data = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Runs by name, as a,b; `a` includes a-seed0, a-seed1…; the base alone is always included. "
            "(default: all finished)"
        ),
    ] = "",
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs. (default: runs/ of the dataset)")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split whose people are used. (default: val, or train if val has too few)")
    ] = None,
    views: Annotated[
        str,
        typer.Option(
            help="Photos that a method gets of a person, as 1,8; with 0, the body is sampled from the prompt."
        ),
    ] = "0,1,8",
    people: Annotated[int | None, typer.Option(min=2, help="At most this many people.")] = None,
    lightning: Annotated[
        str | None,
        typer.Option(help="SDXL-Lightning: a file, owner/repo/file or small-lightning. (default: the manifest's)"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps of the base, without Lightning.")] = None,
    guidance: Annotated[float, typer.Option(min=0, help="Guidance scale, with --steps.")] = 5.0,
    evaluators: Annotated[
        str | None,
        typer.Option(
            help="What measures the images: small-world or small-world-3d for drawn people, photos for photos. "
            "(default: by the base)"
        ),
    ] = None,
    open_test_sets: Annotated[
        bool, typer.Option("--open-test-sets", help="Allow a test split: only when everything else is finished.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure runs on people they were not trained on: table.json, table.md and grid.png in evaluation/."""
    loaded, dataset = open_dataset(manifest, data)
    dataset.settle()
    from bolid_train.evaluate.run import choose_sampling, parse_view_counts
    from bolid_train.evaluate.run import evaluate as measure

    run_names = [name.strip() for name in methods.split(",") if name.strip()]
    sampling_settings = choose_sampling(loaded, lightning, steps, guidance)
    result = measure(
        loaded,
        dataset.root,
        run_names,
        split,
        parse_view_counts(views),
        people,
        sampling_settings,
        open_test_sets,
        evaluators,
        runs,
    )
    print_result(result, as_json, lambda r: say((Path(r["folder"]) / "table.md").read_text(encoding="utf-8")))
    say_next("read table.md and look at grid.png there", result=Path(result["folder"]))
