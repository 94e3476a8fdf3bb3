"""Segmentation on the shared encoder: shapes, whole volumes, learning, export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceLoss
from monai.networks.utils import convert_to_torchscript

from gastromap.errors import UsageError
from gastromap.models.longitudinal import LongitudinalNet, SegmentationNet
from gastromap.training import start_from
from gastromap.training.parameter_groups import parameter_groups


@pytest.fixture(scope="module")
def tiny() -> SegmentationNet:
    torch.manual_seed(0)
    return SegmentationNet("tiny").eval()


class TestSegmentation:
    @pytest.mark.parametrize("shape", [(32, 32, 32), (32, 48, 64)])
    def test_it_gives_one_logit_a_voxel_at_any_size_the_stride_divides(self, tiny, shape) -> None:
        assert tiny(torch.rand(2, 1, *shape)).shape == (2, 1, *shape)

    def test_default_takes_slices_at_half_the_stride_of_rows(self) -> None:
        net = SegmentationNet("default").eval()
        with torch.inference_mode():
            assert net(torch.rand(1, 1, 32, 64, 64)).shape == (1, 1, 32, 64, 64)

    def test_paper_gives_one_logit_a_voxel(self) -> None:
        net = SegmentationNet("paper").eval()
        with torch.inference_mode():
            assert net(torch.rand(1, 1, 32, 32, 32)).shape == (1, 1, 32, 32, 32)

    @pytest.mark.parametrize(("preset", "size"), [("tiny", (32, 32, 48)), ("default", (32, 64, 96))])
    def test_the_decoder_of_details_gives_one_logit_a_voxel_too(self, preset, size) -> None:
        net = SegmentationNet(preset, detail=4).eval()
        with torch.inference_mode():
            assert net(torch.rand(2, 1, *size)).shape == (2, 1, *size)

    def test_the_decoder_of_details_sees_single_voxels_of_its_own_place(self) -> None:
        """A pattern of one voxel, which the mean over a cell hides, changes the logits there and not far away."""
        torch.manual_seed(0)
        top = SegmentationNet("tiny", detail=4).decoder.top.eval()
        maps, image = torch.rand(1, 4, 16, 16, 16), torch.full((1, 1, 32, 32, 32), 0.5)
        pattern = image.clone()
        pattern[..., 4:8, 4:8, 4:8] += 0.2 * (-1) ** torch.arange(4.0)
        with torch.inference_mode():
            change = (top(pattern, maps) - top(image, maps)).abs()[0, 0]
        near, far = change[4:8, 4:8, 4:8], change[24:, 24:, 24:]
        assert near.max() > 5 * far.max()

    def test_the_encoder_is_the_same_with_and_without_details(self) -> None:
        plain, detailed = SegmentationNet("tiny"), SegmentationNet("tiny", detail=4)
        plain.encoder.load_state_dict(detailed.encoder.state_dict())

    def test_the_second_look_gives_one_logit_a_voxel_and_can_be_exported(self) -> None:
        torch.manual_seed(0)
        net = SegmentationNet("tiny", detail=4, second_look=8).eval()
        image = torch.rand(2, 1, 32, 48, 64)
        with torch.inference_mode():
            logits = net(image)
            assert logits.shape == (2, 1, 32, 48, 64)
            torch.testing.assert_close(convert_to_torchscript(net)(image), logits)

    def test_the_second_look_reads_the_image_and_what_was_marked_at_each_place(self) -> None:
        torch.manual_seed(0)
        look = SegmentationNet("tiny", detail=4, second_look=8).second_look.eval()
        image, first, features = (
            torch.full((1, 1, 32, 32, 32), 0.6),
            torch.zeros(1, 1, 32, 32, 32),
            torch.rand(1, 4, 16, 16, 16),
        )
        darker, marked = image.clone(), first.clone()
        darker[..., 4:8, 4:8, 4:8] -= 24 / 400  # tumour instead of mucosa, as part of the window
        marked[..., 4:8, 4:8, 4:8] = 4
        with torch.inference_mode():
            plain = look(image, first, features)
            changes = [
                (look(*given) - plain).abs()[0, 0] for given in ((darker, first, features), (image, marked, features))
            ]
        for change in changes:
            assert change[4:8, 4:8, 4:8].max() > 5 * change[28:, 28:, 28:].max()

    def test_of_the_second_look_nothing_else_learns(self) -> None:
        torch.manual_seed(0)
        net = SegmentationNet("tiny", detail=4, second_look=8)
        optimizer = torch.optim.AdamW(parameter_groups(start_from(net, None, only="second_look."), lr=1e-2))
        before = {name: value.clone() for name, value in net.named_parameters()}
        net(torch.rand(2, 1, 32, 32, 32)).square().mean().backward()
        optimizer.step()
        changed = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
        assert changed == {name for name in before if name.startswith("second_look.")}

    def test_there_is_no_second_look_without_details(self) -> None:
        with pytest.raises(ValueError, match="detail"):
            SegmentationNet("tiny", second_look=8)

    def test_weights_of_a_network_without_a_part_need_it_named(self, tmp_path) -> None:
        torch.save(SegmentationNet("tiny").encoder.state_dict(prefix="encoder."), tmp_path / "encoder.pt")
        net = SegmentationNet("tiny", detail=4)
        with pytest.raises(RuntimeError, match=r"decoder\.top"):
            start_from(net, tmp_path / "encoder.pt", new=["encoder."])
        kept = net.decoder.top.out.weight.clone()
        start_from(net, tmp_path / "encoder.pt", new=["decoder."])
        assert torch.equal(net.decoder.top.out.weight, kept)

    def test_paper_has_no_decoder_of_details(self) -> None:
        with pytest.raises(ValueError, match="detail"):
            SegmentationNet("paper", detail=8)

    def test_other_sizes_are_refused(self, tiny) -> None:
        with pytest.raises(UsageError, match=r"INPUT_SHAPE .*multiples of \(16, 16, 16\)"):
            tiny(torch.rand(1, 1, 32, 40, 32))

    def test_a_whole_volume_of_any_size_goes_through_sliding_windows(self, tiny) -> None:
        inferer = SlidingWindowInferer(roi_size=tiny.preset.crop_voxels, overlap=0.25)
        with torch.inference_mode():
            assert inferer(torch.rand(1, 1, 37, 50, 41), tiny).shape == (1, 1, 37, 50, 41)

    def test_a_volume_of_one_window_is_segmented_as_without_windows(self, tiny) -> None:
        x = torch.rand(1, 1, 32, 32, 32)
        with torch.inference_mode():
            windowed = SlidingWindowInferer(roi_size=(32, 32, 32))(x, tiny)
            torch.testing.assert_close(windowed, tiny(x), atol=1e-4, rtol=1e-4)

    def test_a_few_steps_find_a_bright_ball(self) -> None:
        torch.manual_seed(0)
        net = SegmentationNet("tiny")
        axis = torch.arange(32.0)
        d, h, w = torch.meshgrid(axis, axis, axis, indexing="ij")
        ball = ((d - 12) ** 2 + (h - 18) ** 2 + (w - 16) ** 2 < 49).float()[None, None]
        image = 0.3 + 0.4 * ball + 0.05 * torch.randn(1, 1, 32, 32, 32)
        bce = torch.nn.BCEWithLogitsLoss()
        optimiser = torch.optim.AdamW(net.parameters(), lr=3e-2)
        for _ in range(35):
            optimiser.zero_grad()
            (DiceLoss(sigmoid=True)(logits := net(image), ball) + bce(logits, ball)).backward()
            optimiser.step()
        found = net.eval()(image) > 0
        dice = 2 * (found * ball).sum() / (found.sum() + ball.sum())
        assert dice > 0.9


class TestExport:
    """``ckpt_export`` and the check of the model zoo script the network."""

    @pytest.mark.parametrize("detail", [0, 4])
    def test_the_segmentation_scripts_saves_and_runs_at_another_size(self, detail, tmp_path: Path) -> None:
        torch.manual_seed(0)
        tiny = SegmentationNet("tiny", detail=detail).eval()
        file = tmp_path / "model.ts"
        convert_to_torchscript(tiny, filename_or_obj=file)
        loaded = torch.jit.load(file)
        for shape in ((32, 32, 32), (32, 48, 64)):
            x = torch.rand(1, 1, *shape)
            torch.testing.assert_close(loaded(x), tiny(x), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("mask_channel", [False, True])
    def test_the_longitudinal_network_scripts_with_presence_and_masks(self, mask_channel, tmp_path: Path) -> None:
        torch.manual_seed(0)
        net = LongitudinalNet("tiny", mask_channel=mask_channel).eval()
        file = tmp_path / "model.ts"
        convert_to_torchscript(net, filename_or_obj=file)
        loaded = torch.jit.load(file)
        image = torch.rand(2, 2, 32, 32, 32)
        present = torch.tensor([[True, False], [True, True]])
        masks = torch.zeros_like(image) if mask_channel else None
        for arguments in ((image,), (image, present), (image, present, masks)):
            torch.testing.assert_close(loaded(*arguments), net(*arguments), atol=1e-4, rtol=1e-4)

    def test_a_trace_of_a_pair_runs_with_another_number_of_patients(self) -> None:
        torch.manual_seed(0)
        net = LongitudinalNet("tiny").eval()
        with torch.no_grad():
            traced = torch.jit.trace(net, torch.rand(2, 2, 32, 32, 32))
        image = torch.rand(3, 2, 32, 32, 32)
        torch.testing.assert_close(traced(image), net(image), atol=1e-4, rtol=1e-4)
