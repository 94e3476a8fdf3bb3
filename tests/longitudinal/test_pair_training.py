"""Parts of the training on pairs: which scans a step shows, clipping, metrics, first weights, stored maps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders.pairs import PATCH, SPACING, write_pairs
from monai.transforms import Compose
from sklearn.metrics import roc_auc_score

from gastromap.models.longitudinal import LongitudinalNet, SegmentationNet
from gastromap.models.longitudinal.survival import mean_survival_months
from gastromap.preprocessing.pair_augmentation import RandomPaird
from gastromap.preprocessing.pair_transforms import AssemblePaird, pair_preprocessing
from gastromap.preprocessing.volume import VolumeProfile
from gastromap.training.pair_batches import ClipGradients, FollowEpochs, PairBatches
from gastromap.training.pair_datalist import read_pair_datalist
from gastromap.training.pair_maps import MapDataset, MapJudge
from gastromap.training.pair_metrics import lnm_auc, os_concordance, pair_metrics, pair_score
from gastromap.training.pair_start import multitask_loss, start_weights, training_breaks

_BREAKS = (0.0, 12.0, 24.0, 60.0)


class TestBatches:
    def test_the_first_epochs_show_the_baseline_alone(self) -> None:
        batches = PairBatches(masks=False, baseline_only_epochs=2)
        present = torch.tensor([[True, True], [True, False], [False, True]])
        for epoch, second in ((1, [False, False, True]), (2, [False, False, True]), (3, [True, False, True])):
            FollowEpochs(batches)(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))  # type: ignore[arg-type]
            shown = batches.shown(present)
            assert shown[:, 1].tolist() == second
            assert shown[:, 0].tolist() == [True, True, False]

    def test_scans_are_dropped_as_often_as_asked_and_never_both(self) -> None:
        torch.manual_seed(0)
        batches = PairBatches(masks=True, drop_followup=0.25, drop_baseline=0.05)
        shown = batches.shown(torch.ones(20_000, 2, dtype=torch.bool))
        assert bool(shown.any(dim=1).all())
        # Three standard errors of 20,000 draws.
        assert float((~shown[:, 1]).float().mean()) == pytest.approx(0.25, abs=0.01)
        assert float((~shown[:, 0]).float().mean()) == pytest.approx(0.05, abs=0.005)

    def test_a_lone_scan_is_never_dropped(self) -> None:
        batches = PairBatches(masks=True, drop_followup=0.5, drop_baseline=0.5)
        lone = torch.tensor([[True, False], [False, True]]).repeat(50, 1)
        assert torch.equal(batches.shown(lone), lone)

    def test_the_network_gets_what_it_takes(self) -> None:
        batch = {
            "image": torch.zeros(1, 2, 4, 4, 4), "present": torch.ones(1, 2, dtype=torch.bool),
            "masks": torch.zeros(1, 2, 4, 4, 4), "label": torch.zeros(1, 3),
        }  # fmt: skip
        assert len(PairBatches(masks=True)(batch)[2]) == 2
        assert len(PairBatches(masks=False)(batch)[2]) == 1

    @pytest.mark.parametrize(("iteration", "norm"), [(1, 50.0), (2, 1.0), (3, 1.0)])
    def test_gradients_are_clipped_once_a_step(self, iteration: int, norm: float) -> None:
        weight = torch.nn.Parameter(torch.zeros(2))
        weight.grad = torch.tensor([30.0, 40.0])
        engine: Any = SimpleNamespace(
            # Two batches a step, three an epoch: steps after the second and the third.
            state=SimpleNamespace(iteration=iteration, epoch_length=3),
            accumulation_steps=2, amp=False, scaler=None, optimizer=torch.optim.SGD([weight], 0.1),
        )  # fmt: skip
        ClipGradients(1.0)(engine)
        assert float(weight.grad.norm()) == pytest.approx(norm, rel=1e-4)


def logits_and_targets(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(size=(n, 4)))
    months = rng.exponential(30, n).round(1)
    target = np.stack([rng.integers(0, 2, n), rng.integers(0, 2, n), months], axis=1).astype(float)
    target[:5, 0] = np.nan
    target[5:9, 1:] = np.nan
    return logits, torch.from_numpy(target)


class TestMetrics:
    def test_the_auc_is_that_of_scikit_learn_on_labelled_patients(self) -> None:
        logits, target = logits_and_targets()
        assert lnm_auc(logits, target) == pytest.approx(roc_auc_score(target[5:, 0], logits[5:, 0]))

    def test_the_concordance_is_that_of_scikit_survival(self) -> None:
        from sksurv.metrics import concordance_index_censored

        logits, target = logits_and_targets()
        known = torch.isfinite(target[:, 1])
        risk = -mean_survival_months(logits[known, 1:], _BREAKS)
        expected = concordance_index_censored(target[known, 1].numpy() > 0, target[known, 2].numpy(), risk.numpy())[0]
        assert os_concordance(logits, target, _BREAKS) == pytest.approx(expected)

    def test_an_earlier_death_foretold_is_right(self) -> None:
        # Hazards 0.99 at once, or 0.01 throughout; the first patient dies at 6 months, the second is alive at 50.
        logits = torch.tensor([[0.0, 4.6, 0, 0], [0.0, -4.6, -4.6, -4.6]])
        target = torch.tensor([[1.0, 1, 6], [0, 0, 50]])
        assert os_concordance(logits, target, _BREAKS) == 1
        assert os_concordance(logits.flip(0), target, _BREAKS) == 0

    def test_the_score_is_the_mean_of_what_is_defined(self) -> None:
        logits, target = logits_and_targets()
        both = (lnm_auc(logits, target) + os_concordance(logits, target, _BREAKS)) / 2
        assert pair_score(logits, target, _BREAKS) == pytest.approx(both)
        target[:, 0] = float("nan")
        assert pair_score(logits, target, _BREAKS) == os_concordance(logits, target, _BREAKS)
        target[:, 1] = 0
        assert np.isnan(pair_score(logits, target, _BREAKS))

    def test_over_batches_it_is_that_of_all_patients(self) -> None:
        logits, target = logits_and_targets()
        metric = pair_metrics(_BREAKS)["val_score"].metric_fn
        for rows in torch.arange(60).split(7):
            metric(list(logits[rows]), list(target[rows]))
        # The buffer is float32.
        assert metric.aggregate() == pytest.approx(pair_score(logits, target, _BREAKS), abs=1e-6)


class TestStart:
    def test_breaks_by_name_or_by_number(self) -> None:
        months = torch.linspace(1, 100, 200)
        targets = torch.stack([torch.zeros(200), torch.ones(200), months], dim=1)
        assert len(training_breaks(targets)) == 11
        assert training_breaks(targets)[-1] == 100
        assert training_breaks(targets, "paper")[-1] == 160
        assert training_breaks(targets, [0, 10, 20]) == (0.0, 10.0, 20.0)

    @pytest.mark.parametrize(("deaths", "longest"), [(4, 30.0), (0, 30.0), (None, 60.0)])
    def test_too_few_deaths_for_quantiles_make_one_interval_and_a_warning(
        self, deaths: int | None, longest: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        targets = torch.zeros(10, 3)
        targets[:, 2] = torch.linspace(3, 30, 10)
        targets[: deaths or 0, 1] = 1
        if deaths is None:
            targets[:, 1:] = float("nan")
        assert training_breaks(targets) == (0.0, longest)
        assert f"{deaths or 0} deaths" in caplog.text

    def test_the_encoder_is_that_of_the_segmentation(self, tmp_path: Path) -> None:
        segmentation = SegmentationNet("tiny")
        torch.save(segmentation.state_dict(), tmp_path / "seg.pt")
        net = start_weights(
            LongitudinalNet("tiny", mask_channel=True), encoder_weights=tmp_path / "seg.pt", mask_gain=0.5
        )
        image, mask = (next(net.encoder.parameters())[:, channel] for channel in (0, 1))
        assert torch.equal(image, next(segmentation.encoder.parameters())[:, 0])
        torch.testing.assert_close(mask.sum(dim=(1, 2, 3)), 0.5 * image.sum(dim=(1, 2, 3)))
        assert torch.equal(net.encoder.stem_end.weight, segmentation.encoder.stem_end.weight)

    def test_a_mask_is_seen_by_an_encoder_that_was_never_trained_on_masks(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        torch.save(SegmentationNet("tiny").state_dict(), tmp_path / "seg.pt")
        image, mask = torch.rand(1, 2, 32, 32, 32), torch.zeros(1, 2, 32, 32, 32)
        mask[..., 8:20, 8:20, 8:20] = 1
        change = {}
        for gain in (0.0, 0.5):
            net = LongitudinalNet("tiny", mask_channel=True)
            net = start_weights(net, encoder_weights=tmp_path / "seg.pt", mask_gain=gain).eval()
            with torch.no_grad():
                seen, unseen = (net.encoder.until_stage3(net.scans(image, None, masks)[0]) for masks in (mask, None))
            change[gain] = float((seen - unseen).abs().mean() / unseen.abs().mean())
        assert change[0.0] < 1e-6
        assert change[0.5] > 0.02

    def test_without_a_mask_it_sees_what_the_segmentation_saw(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        segmentation = SegmentationNet("tiny").eval()
        torch.save(segmentation.state_dict(), tmp_path / "seg.pt")
        net = LongitudinalNet("tiny", mask_channel=True)
        net = start_weights(net, encoder_weights=tmp_path / "seg.pt", mask_gain=0.5).eval()
        image = torch.rand(1, 2, 32, 32, 32)
        with torch.no_grad():
            found = net.encoder.until_stage3(net.scans(image, None, None)[0])
            expected = segmentation.encoder.until_stage3(image.transpose(0, 1))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)

    def test_layers_that_have_outgrown_their_stream_are_settled_on_scans_of_the_training(
        self, pairs: Path, tmp_path: Path
    ) -> None:
        torch.manual_seed(0)
        state = SegmentationNet("tiny").state_dict()
        grown = {name: value * 1e6 if name.endswith("mixer.leave.weight") else value for name, value in state.items()}
        torch.save(grown, tmp_path / "seg.pt")
        records = read_pair_datalist(pairs)["training"]
        profile = {"spacing_mm": SPACING, "patch": PATCH}
        size = {}
        for name, options in (("as it is", {}), ("settled", {"records": records, "profile": profile})):
            net = start_weights(
                LongitudinalNet("tiny", mask_channel=True), encoder_weights=tmp_path / "seg.pt", **options
            ).eval()
            with torch.no_grad():
                size[name] = float(net.encoder.until_stage3(torch.rand(1, 2, 32, 32, 32)).std())
        assert size["as it is"] > 1e4
        assert size["settled"] < 100

    def test_weights_of_another_run_take_precedence(self, tmp_path: Path) -> None:
        other = LongitudinalNet("tiny")
        torch.save(other.state_dict(), tmp_path / "run.pt")
        net = start_weights(LongitudinalNet("tiny"), encoder_weights="nowhere.pt", initial_weights=tmp_path / "run.pt")
        assert torch.equal(net.head.hazards.weight, other.head.hazards.weight)

    def test_the_penalty_of_the_paper_takes_the_survival_head(self) -> None:
        net = LongitudinalNet("tiny", intervals=3)
        logits, target = torch.zeros(4, 4), torch.tensor([[1.0, 1, 6], [0, 0, 50], [1, 1, 30], [0, 1, 20]])
        plain, punished = (multitask_loss(net, target, _BREAKS, penalty=value) for value in (0.0, 0.1))
        extra = 0.5 * 0.1 * float(net.head.hazards.weight.detach().square().sum())
        assert float((punished(logits, target) - plain(logits, target)).detach()) == pytest.approx(extra, rel=1e-4)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), training=6, validation=1, test=0)


@pytest.fixture
def network() -> LongitudinalNet:
    torch.manual_seed(0)
    return LongitudinalNet("tiny", mask_channel=True).eval()


def maps_of(pairs: Path, network: LongitudinalNet, **options: Any) -> MapDataset:
    steps = pair_preprocessing(VolumeProfile(SPACING, PATCH)).transforms[:-1]
    options = {"finish": AssemblePaird(patch=PATCH), **options}
    return MapDataset(read_pair_datalist(pairs)["training"], prepare=Compose(steps), network=network, **options)


class TestStoredMaps:
    def test_they_give_the_output_of_the_whole_network(self, pairs: Path, network: LongitudinalNet) -> None:
        stored, records = maps_of(pairs, network), read_pair_datalist(pairs)["training"]
        whole = pair_preprocessing(VolumeProfile(SPACING, PATCH))
        judge = MapJudge(network).eval()
        for index in (0, 5):
            item, kept = whole(dict(records[index])), stored[index]
            assert torch.equal(item["present"], kept["present"])
            with torch.no_grad():
                expected = network(item["image"][None], item["present"][None], item["masks"][None])
                found = judge(kept["image"][None], kept["present"][None])
            # Stored as bfloat16, 8 bits.
            torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)

    def test_values_beyond_the_range_of_float16_stay_finite(self, pairs: Path, network: LongitudinalNet) -> None:
        """Those of a trained encoder are."""
        encode = network.encoder.until_stage3
        network.encoder.until_stage3 = lambda scans: encode(scans) * 1e6  # type: ignore[method-assign]
        kept = maps_of(pairs, network)[0]["image"]
        assert bool(kept.isfinite().all())
        assert float(kept.abs().max()) > 65_504

    def test_a_second_training_reads_them_again(
        self, pairs: Path, network: LongitudinalNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        random = RandomPaird(spacing_mm=SPACING, patch=PATCH)
        first = maps_of(pairs, network, finish=random, draws=2, cache_dir=tmp_path)
        monkeypatch.setattr(network.encoder, "until_stage3", None)
        again = maps_of(
            pairs, network, finish=RandomPaird(spacing_mm=SPACING, patch=PATCH), draws=2, cache_dir=tmp_path
        )
        for one, two in zip(first._maps, again._maps, strict=True):
            assert torch.equal(one, two)

    def test_those_of_the_validation_are_found_again_whether_or_not_those_of_the_training_were_computed(
        self, pairs: Path, network: LongitudinalNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def both() -> None:
            prepare = Compose(pair_preprocessing(VolumeProfile(SPACING, PATCH)).transforms[:-1])
            for side in ("training", "validation"):
                records, finish = read_pair_datalist(pairs)[side], AssemblePaird(patch=PATCH)
                MapDataset(records, prepare=prepare, finish=finish, network=network, cache_dir=tmp_path)

        both()
        monkeypatch.setattr(network.encoder, "until_stage3", None)
        both()

    def test_other_weights_or_views_are_computed_anew(
        self, pairs: Path, network: LongitudinalNet, tmp_path: Path
    ) -> None:
        maps_of(pairs, network, cache_dir=tmp_path)
        assert len(list(tmp_path.glob("*.pt"))) == 6
        maps_of(pairs, network, finish=RandomPaird(spacing_mm=SPACING, patch=PATCH, gain=0.0), cache_dir=tmp_path)
        assert len(list(tmp_path.glob("*.pt"))) == 12
        with torch.no_grad():
            next(network.encoder.parameters()).add_(0.1)
        maps_of(pairs, network, cache_dir=tmp_path)
        assert len(list(tmp_path.glob("*.pt"))) == 18

    def test_only_the_upper_half_learns(self, pairs: Path, network: LongitudinalNet) -> None:
        judge = MapJudge(network)
        item = maps_of(pairs, network)[0]
        judge(item["image"][None], item["present"][None]).sum().backward()
        learns = {name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None}
        assert "stage4" in learns
        assert not learns & {"stem", "stem_end", "stage1", "stage2", "stage3"}
        assert set(judge.module.state_dict()) == set(LongitudinalNet("tiny", mask_channel=True).state_dict())
