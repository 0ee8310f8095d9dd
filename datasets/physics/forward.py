"""Polychromatic transmission of areal densities: the forward model.

T = sum_E w(E) exp(-sum_m mu_m(E) a_m), with a_m = rho_m t_m the areal density of material m along
the ray and w the response's weight of energy E (`detectors.Response`). Scatter, blur and noise are
the scanner's (`simulator.scanner`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.detectors import Response

Float32Array = npt.NDArray[np.float32]

_CHUNK = 4096  # pixels: exponentials of one chunk (27 energies) take 0.4 MB and stay in a core's L2 cache


def transmission(areal: npt.NDArray[np.floating], attenuation: Float32Array, response: Response) -> Float32Array:
    """Noise-free transmission in both channels.

    Args:
        areal: areal density of each material, g/cm2, shape (M, ...).
        attenuation: mass attenuation of the same materials at the response's energies, cm2/g,
            shape (M, E), from `Response.attenuation`.
        response: weights of the energies in the channels.

    Returns:
        float32, shape (2, ...), high channel first; 1 where there is nothing.
    """
    return _project(areal, attenuation, response.weights)


def transmission_and_noise(
    areal: npt.NDArray[np.floating], attenuation: Float32Array, response: Response
) -> tuple[Float32Array, Float32Array]:
    """Noise-free transmission and the noise variance relative to the open beam's.

    Args:
        areal, attenuation, response: as for `transmission`.

    Returns:
        Two float32 arrays of shape (2, ...): the transmission, and the second moment of the
        deposited energy over that of the open beam. A pixel that `n` effective quanta reach in
        the open beam has noise variance second moment / n.
    """
    both = _project(areal, attenuation, np.concatenate([response.weights, response.noise_weights], axis=1))
    return both[:2], both[2:]


def _project(areal: npt.NDArray[np.floating], attenuation: Float32Array, weights: Float32Array) -> Float32Array:
    """sum_E weights (E, C) exp(-attenuation (M, E) . areal (M, ...)), float32 (C, ...)."""
    if areal.ndim < 1 or areal.shape[0] != attenuation.shape[0] or attenuation.shape[1] != weights.shape[0]:
        raise ValueError(
            f"areal {areal.shape}, attenuation {attenuation.shape} and {weights.shape[0]} energies do not match"
        )
    flat = areal.reshape(areal.shape[0], math.prod(areal.shape[1:]))
    pixels, channels = flat.shape[1], weights.shape[1]
    result = np.empty((channels, pixels), np.float32)
    negative, mix = -attenuation.T.astype(np.float32), np.ascontiguousarray(weights.T)
    work = np.empty((len(mix[0]), min(_CHUNK, pixels)), np.float32)
    for start in range(0, pixels, _CHUNK):
        part = flat[:, start : start + _CHUNK]
        goods = [m for m in range(len(part)) if part[m].any()]
        out = result[:, start : start + part.shape[1]]
        if not goods:
            out[:] = mix.sum(axis=1, keepdims=True)
            continue
        exponent = work[:, : part.shape[1]]
        np.matmul(negative[:, goods], part[goods].astype(np.float32, copy=False), out=exponent)
        np.exp(exponent, out=exponent)
        np.matmul(mix, exponent, out=out)
    return result.reshape(channels, *areal.shape[1:])
