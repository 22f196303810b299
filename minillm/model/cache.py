"""Reading a growing text: the key-value cache, and the window of a text longer than the context.

A causal model computes the same keys and values for a token whatever comes after it, so they are
computed once. But: for self-attention only; nothing is shared between texts that start alike.
"""

import torch


class KeyValueCache:
    """Keys and values of the tokens read so far, for one layer, in memory set aside once.

    Args:
        capacity: how many tokens it can hold.

    Built in chapter 8.
    """

    def __init__(self, capacity):
        self.capacity, self.length = capacity, 0
        self.keys = self.values = None

    def append(self, k, v):
        """Stores k and v, (B, H, T, D) each; returns all there are so far, (B, H, T_key, D)."""
        if self.keys is None:
            B, H, _, D = k.shape
            self.keys = k.new_empty(B, H, self.capacity, D)
            self.values = v.new_empty(B, H, self.capacity, D)
        start, self.length = self.length, self.length + k.shape[2]
        self.keys[:, :, start : self.length] = k
        self.values[:, :, start : self.length] = v
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def select(self, rows):
        """Makes row i of the batch what row rows[i] was; `rows` holds integers (B,)."""
        self.keys, self.values = self.keys[rows], self.values[rows]


def pad_left(rows):
    """Rows of ids of unequal length as one tensor, filled with id 0 on the left.

    Returns ids (B, T) and `real` (B, T), False on the filling, or None if nothing was filled.

    >>> pad_left([[5], [6, 7]])[0].tolist()
    [[0, 5], [6, 7]]

    Built in chapter 8.
    """
    T = max(map(len, rows))
    ids = torch.tensor([[0] * (T - len(row)) + row for row in rows])  # (B, T)
    lengths = torch.tensor([len(row) for row in rows])[:, None]  # (B, 1)
    real = torch.arange(T) >= T - lengths  # (B, T)
    return ids, None if real.all() else real


class Reader:
    """Reads growing texts side by side, and gives the logits of what comes next.

    A text longer than the model's context is read through a window. When the window is full, its
    older half is dropped and the rest is read anew from position 0. Dropping one token at a time
    from the cache would not do: above the first layer, the cached keys and values of the others
    still hold what they read from the dropped one. Without the cache the window is the same, so
    the texts are too.

    Args:
        model: a `GPT`.
        texts: lists of ids, of any lengths above 0.
        use_cache: whether to keep keys and values, or to read the window again for each token.

    Source: Pope et al. 2022, arXiv:2211.05102, section 2, for the cache.
    Built in chapter 8.
    """

    def __init__(self, model, texts, use_cache=True):
        self.model, self.use_cache = model, use_cache
        self.limit, self.device = model.config.context_length, model.tokens.weight.device
        self.windows = [list(text[-self.limit :]) for text in texts]
        self.cache = self.real = None

    @torch.inference_mode()
    def logits(self):
        """Logits (B, V) of the token after each text."""
        if self.cache is None:
            ids, real = pad_left(self.windows)
            self.real = None if real is None else real.to(self.device)
            self.cache = self.model.new_cache() if self.use_cache else None
        else:
            ids = torch.tensor([window[-1:] for window in self.windows])  # (B, 1)
            if self.real is not None:
                self.real = torch.cat((self.real, self.real.new_ones(len(ids), 1)), dim=1)
        training, onednn = self.model.training, torch.backends.mkldnn.enabled
        if training:
            self.model.eval()  # no dropout
        torch.backends.mkldnn.enabled = False  # its set-up takes longer than one token's GELU
        try:
            hidden = self.model.hidden(ids.to(self.device), self.real, self.cache)
        finally:
            torch.backends.mkldnn.enabled = onednn
            if training:
                self.model.train()
        return self.model.unembed(hidden[:, -1])

    def append(self, ids):
        """Adds one id to each text."""
        for window, i in zip(self.windows, ids, strict=True):
            window.append(i)
            if len(window) > self.limit:
                del window[: -max(1, self.limit // 2)]
                self.cache = None

    def select(self, rows):
        """Text i becomes a copy of text rows[i]."""
        self.windows = [list(self.windows[row]) for row in rows]
        if self.real is not None:
            self.real = self.real[rows]
        for layer in self.cache or ():
            layer.select(rows)
