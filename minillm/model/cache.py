"""Reading a growing text: the key-value cache, and the window of a text longer than the context.

A causal model computes the same keys and values for a token whatever comes after it, so they are
computed once. But: for self-attention only; nothing is shared between texts that start alike.
"""

import contextlib

import torch
import torch.nn.functional as F


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

    def truncate(self, length):
        """Forgets what came after the first `length` tokens; the next ones are written over it."""
        self.length = min(self.length, length)

    def select(self, rows):
        """Makes row i of the batch what row rows[i] was; `rows` holds integers (B,)."""
        self.keys, self.values = self.keys[rows], self.values[rows]


def pad_left(rows, device=None):
    """Rows of ids of unequal length as one tensor, filled with id 0 on the left.

    Returns ids (B, T) and `real` (B, T), False on the filling, or None if nothing was filled.

    >>> pad_left([[5], [6, 7]])[0].tolist()
    [[0, 5], [6, 7]]

    Built in chapter 8.
    """
    T = max(map(len, rows))
    ids = torch.tensor([[0] * (T - len(row)) + row for row in rows], device=device)  # (B, T)
    lengths = torch.tensor([len(row) for row in rows], device=device)[:, None]  # (B, 1)
    real = torch.arange(T, device=device) >= T - lengths  # (B, T)
    return ids, None if real.all() else real


@contextlib.contextmanager
def at_rest(model):
    """Within it a model reads without dropout and without oneDNN, then all is as it was.

    oneDNN's set-up takes longer than one token's GELU.

    Built in chapter 8.
    """
    training, onednn = model.training, torch.backends.mkldnn.enabled
    if training:
        model.eval()
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = onednn
        if training:
            model.train()


class Windows:
    """Texts that grow side by side: what a model may still see of them, and what it has read.

    A text longer than the model's context is seen through a window. When the window is full, its
    older half is dropped and the rest is read anew from position 0. Dropping one token at a time
    from the cache would not do: above the first layer, the cached keys and values of the others
    still hold what they read from the dropped one. Without the cache the window is the same, so
    the texts are too.

    Args:
        model: a `GPT`.
        texts: lists of ids, of any lengths above 0.

    Built in chapter 8.
    """

    def __init__(self, model, texts):
        self.model, self.limit = model, model.config.context_length
        self.device = model.tokens.weight.device
        self.windows = [list(text[-self.limit :]) for text in texts]
        self.cache = self.real = None  # what was read, and which of it is no padding

    def __len__(self):
        return max(map(len, self.windows))

    def room(self):
        """How many ids can be added before a window slides."""
        return self.limit - len(self)

    def append(self, ids):
        """Adds one id to each text."""
        for window, i in zip(self.windows, ids, strict=True):
            window.append(i)
            if len(window) > self.limit:
                del window[: -max(1, self.limit // 2)]
                self.cache = None

    def rewind(self, n):
        """Takes back the last n ids of each text, which no slide of its window lies between."""
        for window in self.windows if n else ():
            del window[-n:]
        for layer in self.cache or ():
            layer.truncate(len(self))
        self.real = None if self.real is None else self.real[:, : len(self)]

    def select(self, rows):
        """Text i becomes a copy of text rows[i]."""
        self.windows = [list(self.windows[row]) for row in rows]
        self.real = None if self.real is None else self.real[rows]
        for layer in self.cache or ():
            layer.select(rows)


class Reader(Windows):
    """Reads growing texts side by side, and gives the logits of what comes next.

    Args:
        model, texts: as for `Windows`.
        use_cache: whether to keep keys and values, or to read the window again for each token.

    Source: Pope et al. 2022, arXiv:2211.05102, section 2, for the cache.
    Built in chapter 8.
    """

    def __init__(self, model, texts, use_cache=True):
        super().__init__(model, texts)
        self.use_cache = use_cache

    @torch.inference_mode()
    def read(self, last=1):
        """Reads what is new; logits (B, last, V) of the tokens after each text's last ones."""
        if self.cache is None:
            ids, self.real = pad_left(self.windows, self.device)
            self.cache = self.model.new_cache() if self.use_cache else None
        else:
            new = len(self) - self.cache[0].length
            ids = torch.tensor([w[-new:] for w in self.windows], device=self.device)  # (B, new)
            self.real = None if self.real is None else F.pad(self.real, (0, new), value=True)
        with at_rest(self.model):
            hidden = self.model.hidden(ids, self.real, self.cache)  # (B, new, C)
        return self.model.unembed(hidden[:, -last:])

    def logits(self):
        """Logits (B, V) of the token after each text."""
        return self.read()[:, -1]
