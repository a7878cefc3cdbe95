"""What a platform may observe of a page. Nothing latent belongs here."""

from dataclasses import dataclass

from matinee_policies.arrays import BoolArray, Float32Array


@dataclass(frozen=True, slots=True)
class PageFeedback:
    """The observable answer of `n` users to one page of `L` slots each.

    Attributes:
        clicks: which slots were clicked, `bool [n, L]`.
        watch: watched fraction of clicked items in (0, 1), NaN elsewhere, `float32 [n, L]`.
        ratings: explicit rating of some of the clicked items, NaN elsewhere, `float32 [n, L]`.
        rating_delay: days from the page until that rating is given, NaN elsewhere,
            `float32 [n, L]`.
        left: whether the user's session ended with this page, `bool [n]`.
    """

    clicks: BoolArray
    watch: Float32Array
    ratings: Float32Array
    rating_delay: Float32Array
    left: BoolArray
