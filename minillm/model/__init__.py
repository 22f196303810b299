"""The models and their parts. Nothing here knows about text, training or generation.

`attention.py` holds how one position reads the others, `positions.py` where each of them stands,
`layers.py` the norms and feed-forward layers, `transformer.py` the block that they make, and the
encoder and decoder of blocks, `gpt.py` the GPT, `cache.py` what it keeps of a text that grows.
"""
