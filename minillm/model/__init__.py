"""The models and their parts: attention, positions, layers, GPT.

Nothing here knows about text, training or generation.
"""
