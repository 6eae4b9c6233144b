"""Images of many sizes, in batches of one size each."""

from bolid_train.evaluate.batching import batches

SQUARE, TALL, WIDE = (64, 64), (48, 80), (80, 48)


def test_a_batch_has_images_of_one_size_and_no_image_is_lost() -> None:
    sizes = [SQUARE, TALL, SQUARE, WIDE, TALL, SQUARE]
    assert list(batches(sizes)) == [[0, 2, 5], [1, 4], [3]]
    assert list(batches([])) == []


def test_images_of_one_size_are_taken_in_order_so_that_squares_are_batched_as_ever() -> None:
    assert list(batches([SQUARE] * 70)) == [list(range(32)), list(range(32, 64)), list(range(64, 70))]


def test_pixels_bound_a_batch_and_an_image_larger_than_that_is_alone() -> None:
    assert list(batches([(1024, 1024)] * 5)) == [[0, 1, 2, 3], [4]]
    assert list(batches([(832, 1216)] * 5)) == [[0, 1, 2, 3], [4]]
    assert list(batches([SQUARE, SQUARE, (4096, 4096), (4096, 4096)])) == [[0, 1], [2], [3]]
    assert list(batches([SQUARE] * 3, max_rows=2)) == [[0, 1], [2]]
