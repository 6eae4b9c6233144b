"""One vector from the views of a person, whatever their order, number and padding."""

import torch

from bolid_train.body.encoder import BodyEncoder, Spread


def _encoder() -> BodyEncoder:
    torch.manual_seed(0)
    return BodyEncoder(16, 24)


def test_the_order_of_views_does_not_matter() -> None:
    encoder, views, confidence = _encoder(), torch.randn(2, 5, 16), torch.rand(2, 5) + 0.1
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(encoder(views, confidence), encoder(views[:, order], confidence[:, order]))


def test_padding_does_not_matter_whatever_it_holds() -> None:
    encoder, views, confidence = _encoder(), torch.randn(2, 3, 16), torch.rand(2, 3) + 0.1
    padded = torch.cat([views, torch.full((2, 4, 16), torch.nan)], dim=1)
    filled = torch.cat([confidence, torch.zeros(2, 4)], dim=1)
    torch.testing.assert_close(encoder(padded, filled), encoder(views, confidence))


def test_one_view_works_and_repeating_it_changes_nothing() -> None:
    encoder, view = _encoder(), torch.randn(1, 1, 16)
    one = encoder(view, torch.tensor([[0.7]]))
    assert one.shape == (1, 24) and bool(one.isfinite().all())
    torch.testing.assert_close(encoder(view.expand(1, 3, 16), torch.full((1, 3), 0.4)), one)


def test_a_surer_view_counts_more() -> None:
    encoder, views = _encoder(), torch.randn(1, 2, 16)
    first = encoder(views[:, :1], torch.ones(1, 1))
    near, far = encoder(views, torch.tensor([[0.9, 0.1]])), encoder(views, torch.tensor([[0.1, 0.9]]))
    assert (near - first).norm() < (far - first).norm()


def test_drawn_bodies_have_the_spread_of_those_seen() -> None:
    torch.manual_seed(0)
    spread = Spread(8)
    for _ in range(200):
        spread.update(3 + 0.5 * torch.randn(16, 8))
    drawn = spread.draw(4000)
    torch.testing.assert_close(drawn.mean(dim=0), torch.full((8,), 3.0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), torch.full((8,), 0.5), atol=0.1, rtol=0)
