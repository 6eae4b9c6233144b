"""The contract of `methods/protocol.py` and `methods/spec.py`, checked for every method that there is."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods import registry
from bolid_train.methods.protocol import Method
from bolid_train.methods.spec import MethodSpec
from bolid_train.methods.text.method import TextOnly
from bolid_train.settings import method_settings
from bolid_train.training.trainer import train
from tests.support.drawn_batches import (
    bare,
    drawn_batch,
    drawn_unet,
    fit,
    installed,
    photoless,
    predict,
    small_settings,
)  # fmt: skip
from tests.support.drawn_shards import write_manifest

ROWS = torch.tensor([False, True, False])


class Recorded(dict[str, Tensor]):
    """Features that remember which of them were read."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("spec", registry.specs(), ids=lambda spec: spec.name)
class TestEveryMethod:
    def test_its_spec_agrees_with_itself(self, spec: MethodSpec) -> None:
        assert registry.resolve(spec.name) is spec
        assert spec.settings is method_settings().get(spec.name, spec.settings)
        assert spec.conditions[0] == "text" and len(set(spec.conditions)) == len(spec.conditions)
        keys = set(spec.settings.model_fields)
        assert spec.settings.personal | spec.settings.later | {*spec.settings.fixed, *spec.settings.inherited} <= keys
        names = [name for make in spec.make_features(Train()) for name in make.dtypes]
        assert len(set(names)) == len(names)

    def test_it_reads_the_features_that_it_declares(self, spec: MethodSpec) -> None:
        method, _ = installed(spec.name, encoder_steps=1, prior_steps=1)
        declared = {name for feature in spec.make_features(Train()) for name in feature.dtypes}
        read = Recorded(dict(drawn_batch().features))
        batch = replace(drawn_batch(), features=read)
        method.losses(None, batch, method.condition(batch)[1])  # type: ignore[arg-type]
        method.prepare(lambda _: batch)
        method.finish(lambda _: batch)
        assert read.read == declared

    def test_it_learns_a_batch_and_changes_no_frozen_weight(self, spec: MethodSpec) -> None:
        method, unet = installed(spec.name)
        assert (len(list(method.parameters())) > 0) == spec.is_trained
        if not spec.is_trained:
            return
        before = {key: value.clone() for key, value in drawn_unet().state_dict().items()}
        losses = fit(method, unet, drawn_batch(), 8)  # the first steps overshoot
        assert losses[-1] < losses[0]
        assert all(value.grad is not None for value in method.parameters())
        after = {key.replace(".base_layer", ""): value for key, value in unet.state_dict().items()}
        assert all(torch.equal(value, after[key]) for key, value in before.items())

    def test_what_it_saves_is_what_it_learnt(self, spec: MethodSpec, tmp_path: Path) -> None:
        method, unet = self._trained(spec, prior_steps=2)
        method.finish(lambda _: drawn_batch(512, views=1, seed=0))
        kinds = method.save(tmp_path)
        assert set(kinds) == {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
        again, its_unet = installed(spec.name)
        again.load(tmp_path)
        for batch in (drawn_batch(seed=1), photoless(drawn_batch(seed=1))):
            with torch.no_grad():
                first, second = method.condition(batch)[0], again.condition(batch)[0]
            assert torch.equal(predict(unet, batch, first), predict(its_unet, batch, second))

    def test_at_scale_zero_the_base_answers_bit_for_bit(self, spec: MethodSpec) -> None:
        batch = drawn_batch()
        method, unet = self._trained(spec)
        base = predict(drawn_unet(), batch, bare(batch))
        for weight, is_base in ((1.0, not spec.scales), (0.0, True), (1.0, not spec.scales)):
            for name in spec.scales:
                method.scale(name, weight)
            with torch.no_grad():
                inputs, _ = method.condition(batch)
            assert torch.equal(predict(unet, batch, inputs), base) == is_base

    def test_a_condition_is_dropped_in_the_rows_given_and_no_other_is(self, spec: MethodSpec) -> None:
        batch = drawn_batch()
        method, unet = self._trained(spec)
        with torch.no_grad():
            inputs, _ = method.condition(batch)
        whole = predict(unet, batch, inputs)
        for condition in spec.conditions:
            some, all_ = (method.drop(inputs, condition, rows) for rows in (ROWS, None))
            partly, nowhere = predict(unet, batch, some), predict(unet, batch, all_)
            torch.testing.assert_close(partly[~ROWS], whole[~ROWS])
            torch.testing.assert_close(partly[ROWS], nowhere[ROWS])
            assert all((nowhere[row] - whole[row]).abs().max() > 1e-4 for row in range(3))
        assert predict(unet, batch, method.drop(inputs, "nothing of the kind")).equal(whole)

    def test_with_all_but_the_text_dropped_it_is_the_base_unless_it_changes_that(self, spec: MethodSpec) -> None:
        batch = drawn_batch()
        method, unet = self._trained(spec)
        with torch.no_grad():
            inputs, _ = method.condition(batch)
        for condition in set(spec.conditions) - {"text"}:
            inputs = method.drop(inputs, condition)
        base = predict(drawn_unet(), batch, bare(batch))
        assert torch.equal(predict(unet, batch, inputs), base) == (not spec.changes_base)

    def test_a_row_alone_is_the_row_among_many(self, spec: MethodSpec) -> None:
        batch = drawn_batch(rows=3)
        method, unet = self._trained(spec)
        with torch.no_grad():
            whole = predict(unet, batch, method.condition(batch)[0])
            for row in range(3):
                one = batch.select(slice(row, row + 1))
                torch.testing.assert_close(predict(unet, one, method.condition(one)[0])[0], whole[row])

    def test_a_blend_goes_from_one_body_to_the_other_or_says_that_there_is_none(self, spec: MethodSpec) -> None:
        method, unet = self._trained(spec)
        batch = drawn_batch()
        with torch.no_grad():
            (first, _), (second, _) = (method.condition(drawn_batch(seed=seed)) for seed in (0, 1))
        if "body" not in spec.conditions:
            with pytest.raises(UsageError, match=f"method '{spec.name}' has no body to blend"):
                method.blend(first, second, 0.5)
            return
        start, half, end = (predict(unet, batch, method.blend(first, second, weight)) for weight in (0.0, 0.5, 1.0))
        assert torch.equal(start, predict(unet, batch, first))
        assert 0 < (half - start).norm() < (end - start).norm()

    def test_people_are_placed_in_boxes_or_it_says_that_it_cannot(self, spec: MethodSpec) -> None:
        method, unet = self._trained(spec)
        people, one = drawn_batch(rows=2), drawn_batch(rows=1)
        with torch.no_grad():
            inputs, _ = method.condition(people)
        if type(method).place is TextOnly.place:
            with pytest.raises(UsageError, match=f"method '{spec.name}' cannot place people in boxes"):
                method.place(inputs, torch.ones(2, 64, 64))
            return
        whole, nothing = torch.ones(1, 64, 64), torch.zeros(1, 64, 64)
        alone = predict(unet, one, inputs.rows(slice(1)))
        only_first = method.place(inputs, torch.cat([whole, nothing]))
        torch.testing.assert_close(predict(unet, one, only_first), alone, atol=1e-5, rtol=1e-5)
        nobody = method.place(inputs, torch.cat([nothing, nothing]))
        unconditioned = inputs.rows(slice(1))
        for condition in set(spec.conditions) - {"text", "pose"}:
            unconditioned = method.drop(unconditioned, condition)
        assert torch.equal(predict(unet, one, nobody), predict(unet, one, unconditioned))

    def test_a_resumed_run_has_the_same_losses_to_the_last_digit(
        self, spec: MethodSpec, dataset: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(dataset / "shards", tmp_path / "shards")
        person = {"person": "anna"} if spec.subject else {}
        settings = write_manifest(tmp_path, method=spec.name, **person)
        train(settings, tmp_path, steps=4, run="whole")
        train(settings, tmp_path, steps=2)
        train(settings, tmp_path, steps=4, resume=True)
        whole, resumed = (list(_losses(tmp_path / "runs" / run)) for run in ("whole", spec.name))
        assert whole == resumed and len(whole) == (4 if spec.is_trained else 0)

    def test_a_finished_run_keeps_its_settings_and_not_who_was_trained_on(self, spec: MethodSpec) -> None:
        settings = small_settings(spec.name)
        kept = spec.portable_settings(settings)
        assert "anna" not in json.dumps(kept)
        again = type(settings).model_validate(kept)
        assert spec.settings.of(again).model_dump(exclude=set(spec.settings.personal)) == spec.settings.of(
            settings
        ).model_dump(exclude=set(spec.settings.personal))

    def _trained(self, spec: MethodSpec, **settings: object) -> tuple[Method, torch.nn.Module]:
        method, unet = installed(spec.name, **settings)
        if spec.is_trained:
            fit(method, unet, drawn_batch(), 1)
        return method, unet


def _losses(run: Path) -> Iterator[dict[str, float]]:
    if (run / "losses.jsonl").is_file():
        yield from map(json.loads, (run / "losses.jsonl").read_text().splitlines())


WITH_BODY = [spec.name for spec in registry.specs() if "body" in spec.conditions]


@pytest.mark.parametrize("name", WITH_BODY)
def test_neither_the_order_of_views_nor_their_padding_matters(name: str) -> None:
    method, _ = installed(name)
    batch = drawn_batch(views=3)
    with torch.no_grad():
        body = _embeds(method.condition(batch)[0])[-1]
        for other in (_change_views(batch, _turned), _change_views(batch, _padded)):
            torch.testing.assert_close(_embeds(method.condition(other)[0])[-1], body)


def _turned(values: Tensor) -> Tensor:
    return values.flip(1)


def _padded(values: Tensor) -> Tensor:
    return torch.cat([values, torch.zeros_like(values)], dim=1)


def _change_views(batch: Batch, change: object) -> Batch:
    assert callable(change)
    views = replace(batch.views, **{name: change(values) for name, values in vars(batch.views).items()})
    names = ("view_embeds", "view_latents")
    features = {name: change(values) if name in names else values for name, values in batch.features.items()}
    return replace(batch, views=views, features=features)


def test_without_views_the_prototype_has_no_body() -> None:
    method, _ = installed("ip-adapter-views")
    assert not _embeds(method.condition(photoless(drawn_batch()))[0])[0].any()


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"'lroa' is not known; known methods are bolid, .*ip-adapter, .*, lora, .*text"
    ):
        registry.resolve("lroa")


def _embeds(inputs: UNetInputs) -> list[Tensor]:
    embeds: list[Tensor] = inputs.added_cond_kwargs["image_embeds"]
    return embeds
