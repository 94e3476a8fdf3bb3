"""The longitudinal network: sizes, presence of scans, independence of patients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from gastromap.errors import ModelError, UsageError
from gastromap.models.longitudinal import PRESETS, LongitudinalNet, Preset, SegmentationNet
from gastromap.models.longitudinal.burden import mask_burden
from gastromap.models.longitudinal.mamba import keeps_float32
from gastromap.models.longitudinal.presets import StemConv


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def tiny() -> LongitudinalNet:
    torch.manual_seed(0)
    return LongitudinalNet("tiny").eval()


@pytest.fixture(scope="module")
def small_paper() -> LongitudinalNet:
    """The published layout with narrow layers; it takes 80 voxels a side at least."""
    torch.manual_seed(0)
    return LongitudinalNet(narrow_paper()).eval()


def narrow_paper() -> Preset:
    stem = (StemConv(4, 7, (2, 2, 2)),)
    return replace(PRESETS["paper"], stem=stem, widths=(4, 4, 8, 8), state=4, mamba_layers=1, token_width=32, trunk=8)


@pytest.fixture
def pairs() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(3, 2, 32, 32, 32)


class TestSizes:
    def test_default_has_the_parameters_of_the_design(self) -> None:
        assert parameters(LongitudinalNet("default")) == 8_308_172
        # Beside the mask channel of the design: cells of the mask for each token, six sizes for trunk and logits.
        assert parameters(LongitudinalNet("default", mask_channel=True)) == 8_308_604 + 2 * 192 + 6 * (128 + 11)
        assert parameters(SegmentationNet("default").decoder) == 2_162_025

    def test_paper_has_the_parameters_counted_in_the_published_network(self) -> None:
        with torch.device("meta"):
            net, segmentation = LongitudinalNet("paper"), SegmentationNet("paper")
        assert parameters(net.encoder) == 15_668_688
        assert parameters(segmentation.bottleneck) + parameters(segmentation.decoder) == 51_693_937
        assert parameters(net.head) == 80_228_352
        assert parameters(net.bottleneck) == parameters(segmentation.bottleneck)

    def test_tiny_has_the_parameters_of_the_design(self, tiny) -> None:
        assert parameters(tiny) == 459_052

    def test_one_pair_of_the_default_crop_gives_eleven_logits(self) -> None:
        net = LongitudinalNet("default").eval()
        with torch.inference_mode():
            out = net.detailed(torch.rand(1, 2, *PRESETS["default"].crop_voxels))
        assert out.logits.shape == (1, 11)
        assert out.affinity.shape == (2, 1, 4, 512, 512)
        assert out.pooling.shape == (1, 2, 8, 8, 8)

    def test_fewer_intervals_make_fewer_logits(self, pairs) -> None:
        assert LongitudinalNet("tiny", intervals=4).eval()(pairs[:1]).shape == (1, 5)

    def test_mamba_layers_may_be_added_to_the_first_stage(self, pairs) -> None:
        preset = replace(PRESETS["tiny"], mamba_stages=(1, 2, 3, 4))
        net = LongitudinalNet(preset).eval()
        assert parameters(net) > 459_052
        assert net(pairs[:1]).shape == (1, 11)

    def test_the_depth_is_that_of_the_crop(self, tiny) -> None:
        assert tiny(torch.rand(1, 2, 48, 32, 64)).shape == (1, 11)

    def test_an_unknown_preset_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"PRESET network: expected one of default, paper, tiny"):
            LongitudinalNet("large")


class TestAnAbsentScan:
    """The same output bit for bit, whatever stands in the place of the absent scan."""

    @pytest.mark.parametrize("absent", [0, 1])
    @pytest.mark.parametrize("network", ["tiny", "small_paper"])
    def test_its_place_may_hold_zeros_noise_a_copy_or_nan(self, network, absent, request) -> None:
        net = request.getfixturevalue(network)
        image = torch.rand(3, 2, *((32,) * 3 if network == "tiny" else (80,) * 3))[:2]
        # A complete pair stands beside the patient who lacks a scan.
        present = torch.tensor([[True, True], [absent == 1, absent == 0]])
        outputs, kept = [], image[1, 1 - absent]
        for filling in (torch.zeros_like(kept), torch.randn_like(kept), kept, torch.full_like(kept, torch.nan)):
            image[1, absent] = filling
            with torch.inference_mode():
                outputs.append(net(image.clone(), present))
        assert torch.isfinite(outputs[0]).all()
        assert all(torch.equal(outputs[0], other) for other in outputs[1:])

    def test_nan_in_its_place_leaks_into_no_gradient(self, pairs) -> None:
        torch.manual_seed(0)
        net = LongitudinalNet("tiny", mask_channel=True)
        pairs[0, 1] = torch.nan
        masks = torch.zeros_like(pairs)
        masks[0, 1] = torch.nan
        net(pairs, torch.tensor([[True, False], [True, True], [False, True]]), masks).sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())

    def test_its_mask_changes_nothing(self, pairs) -> None:
        net = LongitudinalNet("tiny", mask_channel=True).eval()
        present = torch.tensor([[True, False]] * 3)
        masks = torch.zeros_like(pairs)
        before = net(pairs, present, masks)
        masks[:, 1] = 1
        assert torch.equal(before, net(pairs, present, masks))

    def test_every_parameter_takes_part_in_a_step_of_complete_pairs_or_of_none(self, pairs) -> None:
        # Else distributed training stops.
        for present in (None, torch.tensor([[True, False]] * 3)):
            net = LongitudinalNet("tiny")
            net(pairs, present).sum().backward()
            assert [name for name, p in net.named_parameters() if p.grad is None] == []

    def test_the_follow_up_matters_where_there_is_one(self, tiny, pairs) -> None:
        changed = pairs.clone()
        changed[:, 1] = torch.rand_like(changed[:, 1])
        assert not torch.allclose(tiny(pairs), tiny(changed))
        assert not torch.allclose(tiny(pairs), tiny(pairs, torch.tensor([[True, False]] * 3)))

    def test_order_carries_meaning(self, tiny, pairs) -> None:
        assert not torch.allclose(tiny(pairs), tiny(pairs.flip(1)), atol=1e-4)

    def test_both_absent_is_an_error(self, tiny, pairs) -> None:
        with pytest.raises(UsageError, match="NO_SCAN"):
            tiny(pairs, torch.tensor([[True, True], [False, False], [True, False]]))
        with pytest.raises(UsageError, match="NO_SCAN"):
            tiny.predict(None)

    def test_duplicating_the_lone_scan_is_for_the_paper_preset_only(self) -> None:
        image, present = torch.rand(1, 2, 80, 80, 80), torch.tensor([[True, False]])
        net = LongitudinalNet(narrow_paper(), missing="duplicate").eval()
        copied = image[:, :1].expand(-1, 2, -1, -1, -1)
        assert torch.equal(net(image, present), net(copied))
        with pytest.raises(UsageError, match="MISSING_SCAN"):
            LongitudinalNet("tiny", missing="duplicate")


class TestPatients:
    def test_no_patient_changes_another(self, tiny, pairs) -> None:
        before = tiny(pairs)
        pairs[2] = torch.randn_like(pairs[2]) * 9
        assert torch.equal(before[:2], tiny(pairs)[:2])

    def test_a_patient_alone_gets_the_same_logits_within_rounding(self, tiny, pairs) -> None:
        torch.testing.assert_close(tiny(pairs)[1:2], tiny(pairs[1:2]), atol=1e-4, rtol=1e-4)

    def test_no_layer_is_a_batch_norm(self) -> None:
        with torch.device("meta"):
            nets = [LongitudinalNet("paper"), LongitudinalNet("default"), SegmentationNet("paper")]
        assert not [m for net in nets for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


class TestPredict:
    def test_it_equals_forward_on_stacked_scans(self, tiny, pairs) -> None:
        torch.testing.assert_close(tiny.predict(pairs[:, :1], pairs[:, 1:]), tiny(pairs))

    def test_a_lone_baseline_equals_forward_with_an_absent_follow_up(self, tiny, pairs) -> None:
        expected = tiny(pairs, torch.tensor([[True, False]] * 3))
        assert torch.equal(tiny.predict(pairs[:, :1]), expected)

    def test_dropout_is_off_and_the_mode_is_restored(self, pairs) -> None:
        net = LongitudinalNet("tiny").train()
        assert torch.equal(net.predict(pairs[:, :1]), net.predict(pairs[:, :1]))
        assert net.training

    def test_one_mask_leaves_the_other_not_given(self, pairs) -> None:
        net = LongitudinalNet("tiny", mask_channel=True).eval()
        empty = torch.zeros_like(pairs[:, 1:])
        with_one = net.predict(pairs[:, :1], pairs[:, 1:], mask2=empty)
        masks = torch.cat([torch.full_like(empty, -1.0), empty], dim=1)
        assert torch.equal(with_one, net.predict(pairs[:, :1], pairs[:, 1:], *masks.split(1, dim=1)))
        assert not torch.allclose(with_one, net.predict(pairs[:, :1], pairs[:, 1:]))


class TestTheInputIsChecked:
    def test_monais_tensors_with_metadata_are_taken(self, pairs) -> None:
        net, masks = LongitudinalNet("tiny", mask_channel=True).eval(), torch.zeros_like(pairs)
        assert torch.equal(net(MetaTensor(pairs), None, MetaTensor(masks)), net(pairs, None, masks))
        segmentation = SegmentationNet("tiny").eval()
        assert torch.equal(segmentation(MetaTensor(pairs[:, :1])), segmentation(pairs[:, :1]))

    def test_masks_need_a_mask_channel(self, tiny, pairs) -> None:
        with pytest.raises(UsageError, match="NO_MASK_CHANNEL"):
            tiny(pairs, None, torch.zeros_like(pairs))

    @pytest.mark.parametrize("shape", [(1, 2, 30, 32, 32), (1, 1, 32, 32, 32), (2, 32, 32, 32)])
    def test_other_shapes_are_refused(self, tiny, shape) -> None:
        with pytest.raises(UsageError, match="INPUT_SHAPE"):
            tiny(torch.rand(shape))


class TestSharedEncoder:
    @pytest.mark.parametrize("mask_channel", [False, True])
    def test_the_weights_of_the_segmentation_load_by_name(self, mask_channel, pairs) -> None:
        segmentation = SegmentationNet("tiny").eval()
        net = LongitudinalNet("tiny", mask_channel=mask_channel).eval()
        head = {k: v.clone() for k, v in net.head.state_dict().items()}
        net.load_shared(segmentation.state_dict())
        scans, _ = net.scans(pairs, None, None)
        expected = segmentation.encoder.until_stage3(pairs.flatten(0, 1).unsqueeze(1))
        # A mask channel starts at zero: the maps are those of the image alone.
        torch.testing.assert_close(net.encoder.until_stage3(scans), expected, atol=1e-5, rtol=1e-4)
        assert all(torch.equal(v, head[k]) for k, v in net.head.state_dict().items())

    def test_the_bottleneck_of_paper_is_shared_too(self) -> None:
        segmentation, net = SegmentationNet(narrow_paper()), LongitudinalNet(narrow_paper())
        net.load_shared(segmentation.state_dict())
        for key, value in net.bottleneck.state_dict().items():
            assert torch.equal(value, segmentation.bottleneck.state_dict()[key])

    @pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
    def test_encoder_weights_that_do_not_fit_are_refused(self, fault) -> None:
        state = SegmentationNet("tiny").state_dict()
        key = next(k for k in state if k.endswith("A_log"))
        if fault == "missing":
            del state[key]
        elif fault == "unknown":
            state["encoder.stage5.weight"] = torch.zeros(1)
        else:
            state[key] = state[key][:1]
        with pytest.raises(ModelError, match="ENCODER_WEIGHTS"):
            LongitudinalNet("tiny").load_shared(state)


class TestPrecision:
    def test_decays_skip_terms_and_step_biases_are_marked_and_initialised_as_in_mamba(self, tiny) -> None:
        marked = {n.rsplit(".", 1)[1]: p for n, p in tiny.named_parameters() if keeps_float32(n)}
        assert set(marked) == {"A_log", "D", "step_bias"}
        for name, p in tiny.named_parameters():
            if name.endswith("A_log"):
                torch.testing.assert_close(p.exp(), torch.arange(1.0, 5.0).expand_as(p))
            elif name.endswith("step_bias"):
                steps = nn.functional.softplus(p)
                assert steps.min() > 0.99e-3
                assert steps.max() < 1.01e-1

    def test_autocast_stays_close_to_float32(self, tiny, pairs) -> None:
        with torch.inference_mode():
            full = tiny(pairs)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                mixed = tiny(pairs)
        assert all(p.dtype == torch.float32 for p in tiny.parameters())
        torch.testing.assert_close(mixed.float(), full, atol=0.1, rtol=0.1)


class TestMaskCells:
    """The mask reaches the tokens past the encoder, whose norms take away what is the same everywhere."""

    def net(self) -> LongitudinalNet:
        torch.manual_seed(0)
        return LongitudinalNet("tiny", mask_channel=True).eval()

    def test_an_empty_mask_is_a_finding_and_no_mask_is_none(self, pairs: torch.Tensor) -> None:
        net = self.net()
        with torch.no_grad():
            no_mask = net(pairs)
            empty = net(pairs, None, torch.zeros_like(pairs))
            assert float((empty - no_mask).abs().max()) > 1e-3

    def test_they_hold_the_share_of_each_cell_and_whether_there_is_a_mask(self, pairs: torch.Tensor) -> None:
        net = self.net()
        masks = torch.zeros_like(pairs)
        masks[0, 0, :4, :4, :2] = 1
        masks[1, 1] = -1
        with torch.no_grad():
            read = net.read(net.scans(pairs, None, masks)[0])
        share, given = read[:, -2], read[:, -1]
        side = 32 // share.shape[-1]
        assert float(share[0, 0, 0, 0]) == pytest.approx(4 * 4 * 2 / side**3)
        assert float(share.sum()) == pytest.approx(4 * 4 * 2 / side**3)
        assert given.flatten(1).amax(1).tolist() == [1, 1, 1, 0, 1, 1]
        assert torch.equal(net.features(read), read[:, :-2])

    def test_the_trunk_gets_the_log_ratio_of_volumes_of_complete_pairs_with_both_masks(self) -> None:
        cells = torch.zeros(5, 2, 2, 2, 2)
        for row, volume in enumerate((3.0, 1.5, 3.0, 1.5, 0.0)):
            cells[row, 0, 0, 0, 0] = volume
        # Five scans of three patients: a pair, a pair without the second mask, a lone scan after a complete response.
        cells[[0, 1, 2, 4], 1] = 1
        cells[3, 0] = 0
        present = torch.tensor([[True, True], [True, True], [False, True]])
        found = mask_burden(cells, present)
        log = [math.log(volume + 0.02) for volume in (3.0, 1.5, 0.0)]
        size = [(value - 1.0) / 2.0 for value in log]
        expected = [
            [size[0], size[1], 1, 1, log[1] - log[0] + 1.3, 1],
            [size[0], 0, 1, 0, 0, 0],
            [0, size[2], 0, 1, 0, 0],
        ]
        torch.testing.assert_close(found, torch.tensor(expected))

    def test_without_a_mask_channel_there_are_none(self, pairs: torch.Tensor) -> None:
        net = LongitudinalNet("tiny").eval()
        with torch.no_grad():
            scans, _ = net.scans(pairs, None, None)
            assert torch.equal(net.read(scans), net.encoder.until_stage3(scans))
