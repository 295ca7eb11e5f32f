"""Deterministic test images, from numpy alone."""

import numpy as np


def noise(h, w, seed, channels=3):
    g = np.random.Generator(np.random.PCG64(seed))
    return g.integers(0, 256, size=(h, w, channels), dtype=np.uint8)


def smooth(h, w, seed, channels=3):
    y = np.arange(h, dtype=np.int64)[:, None, None]
    x = np.arange(w, dtype=np.int64)[None, :, None]
    c = np.arange(channels, dtype=np.int64)[None, None, :]
    a, b = 3 + seed % 7, 5 + seed % 11
    v = (x * a * (c + 1) + y * b + (x * y) // (17 + seed % 13)) // 4
    tri = np.abs(v % 510 - 255)
    return tri.astype(np.uint8)


def edges(h, w, seed, channels=3):
    y = np.arange(h, dtype=np.int64)[:, None, None]
    x = np.arange(w, dtype=np.int64)[None, :, None]
    c = np.arange(channels, dtype=np.int64)[None, None, :]
    s = 2 + seed % 9
    v = ((x // s + y // (s + 1) + c) % 2) * 255
    return np.broadcast_to(v, (h, w, channels)).astype(np.uint8).copy()


KINDS = {"noise": noise, "smooth": smooth, "edges": edges}


def make(spec):
    return KINDS[spec["kind"]](spec["height"], spec["width"], spec["seed"], spec.get("channels", 3))
