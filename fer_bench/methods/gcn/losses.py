"""The losses of gcn, as functions of tensors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.methods.gcn.layers import Gaussian
from fer_bench.methods.shared_step import step_mean

PixelLoss = Literal["squared", "absolute"]


def true_reference(
    image: Tensor, reference: Tensor, has_reference: Tensor, is_neutral: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what the generator should draw, and for which rows that is known.

    Args:
        image: [B, 1, H, W].
        reference: Neutral face of the same person [B, 1, H, W].
        has_reference: bool [B], whether `reference` is real.
        is_neutral: bool [B]; a neutral row without a real reference is its own reference.

    Returns:
        Images [B, 1, H, W] and bool [B].
    """
    truth = torch.where(has_reference[:, None, None, None], reference, image)
    return truth, has_reference | is_neutral


def generation_loss(
    generated: Tensor, truth: Tensor, is_known: Tensor, kind: PixelLoss = "squared"
) -> Tensor:
    """Return the mean error of generated references over rows whose reference is known (L_Gen).

    Args:
        generated: [B, 1, H, W].
        truth: [B, 1, H, W].
        is_known: bool [B].
        kind: Squared or absolute errors of pixels.
    """
    return masked_mean(row_error(generated, truth, kind), is_known)


def reconstruction_loss(
    drawn_query: Tensor,
    image: Tensor,
    drawn_reference: Tensor,
    truth: Tensor,
    is_known: Tensor,
    kind: PixelLoss = "squared",
) -> Tensor:
    """Return the sum of the mean errors of both flows through Decoder2 (L_Recon).

    Args:
        drawn_query: Decoder2 of the input's code [B, 1, H, W].
        image: The input [B, 1, H, W].
        drawn_reference: Decoder2 of the generated reference's code [B, 1, H, W].
        truth: The true reference [B, 1, H, W].
        is_known: bool [B], rows that count in the second term.
        kind: Squared or absolute errors of pixels.
    """
    of_query = row_error(drawn_query, image, kind).mean()
    return of_query + masked_mean(row_error(drawn_reference, truth, kind), is_known)


def contrastive_loss(
    query: Tensor, reference: Tensor, is_labelled: Tensor, is_neutral: Tensor, margin: float
) -> Tensor:
    """Return the margin loss on the distance d of a face to its generated reference (L_Contr).

    A neutral face should be at its reference, d^2; an expressive one at least `margin` away,
    max(0, margin - d)^2; the mean is over labelled rows.

    Args:
        query: Unit-length features of the input, float32 [B, D].
        reference: Unit-length features of the generated reference, float32 [B, D].
        is_labelled: bool [B].
        is_neutral: bool [B].
        margin: In (0, 2).
    """
    with torch.autocast(query.device.type, enabled=False):
        squared = (query - reference).square().sum(dim=1)
        # The root has no finite slope at 0, where a face equals its reference.
        apart = F.relu(margin - squared.clamp(min=1e-12).sqrt()).square()
        return masked_mean(torch.where(is_neutral, squared, apart), is_labelled)


def within_margin(query: Tensor, reference: Tensor, is_expressive: Tensor, margin: float) -> Tensor:
    """Return the share of expressive rows that are nearer to their reference than the margin.

    The contrastive loss acts on these; it is 0 for the others.

    Args:
        query: Unit-length features of the input, float32 [B, D].
        reference: Unit-length features of the reference, float32 [B, D].
        is_expressive: bool [B], rows that have a label other than neutral.
        margin: See `contrastive_loss`.
    """
    with torch.autocast(query.device.type, enabled=False):
        near = (query.detach() - reference.detach()).square().sum(dim=1) < margin**2
    return masked_mean(near.float(), is_expressive)


def neutral_flow_loss(
    query: Tensor,
    reference: Tensor,
    neutral: Tensor,
    *,
    is_known: Tensor,
    is_labelled: Tensor,
    is_neutral: Tensor,
    margin: float,
) -> Tensor:
    """Return the contrastive losses with the true neutral frame: against the input, and the generated face.

    The frame is at rest as the generated reference should be, so their distance d costs d^2; an input is
    pushed from it, or pulled onto it where it is labelled neutral, as from the generated reference.

    Args:
        query: Unit-length features of the input, float32 [B, D].
        reference: Those of the generated reference, float32 [B, D].
        neutral: Those of the true neutral frame, float32 [B, D].
        is_known: bool [B], rows that have a true neutral frame.
        is_labelled: bool [B].
        is_neutral: bool [B].
        margin: See `contrastive_loss`.
    """
    pull = contrastive_loss(reference, neutral, is_known, torch.ones_like(is_known), margin)
    return pull + contrastive_loss(query, neutral, is_known & is_labelled, is_neutral, margin)


def divergence_loss(latent: Gaussian, pixels: int) -> Tensor:
    """Return the mean divergence KL(N(mean, variance), N(0, 1)) of codes, in nats per pixel of the picture.

    Per pixel, because the generation loss is a mean over pixels too. With w the ratio of the divergence's
    weight to that of the generation loss, the two are the bound of Kingma and Welling for pixels with a
    variance of w / 2 (squared errors) or a mean absolute deviation of w (absolute errors).

    Args:
        latent: Distributions of the codes.
        pixels: Pixels of a picture.
    """
    mean, spread = latent.mean.float(), latent.log_variance.float()
    summed = 0.5 * (mean.square() + spread.exp() - 1 - spread).flatten(1).sum(dim=1)
    return summed.mean() / pixels


def adversarial_loss(logits: Tensor) -> Tensor:
    """Return how confidently generated references [B, 1, h, w] are recognised: mean softplus(-logit).

    The generator's non-saturating loss of Goodfellow et al., arXiv:1406.2661.
    """
    return F.softplus(-logits.float()).mean()


def discriminator_loss(real: Tensor, generated: Tensor, is_known: Tensor) -> Tensor:
    """Return the discriminator's cross-entropy, mean of real and generated references.

    Args:
        real: Logits of real references [B, 1, h, w].
        generated: Logits of generated references [B, 1, h, w].
        is_known: bool [B], rows whose reference is real.
    """
    of_real = masked_mean(F.softplus(-real.float()).flatten(1).mean(dim=1), is_known)
    return 0.5 * (of_real + F.softplus(generated.float()).mean())


def row_error(drawn: Tensor, truth: Tensor, kind: PixelLoss) -> Tensor:
    """Return the mean squared or absolute error of each image, float32 [B]."""
    error = drawn.float() - truth.float()
    return (error.square() if kind == "squared" else error.abs()).flatten(1).mean(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the step's mean of the values [B] whose mask is set; 0, with a gradient of 0, if none is."""
    return step_mean(values, mask)
