"""Small GPT and BERT models, built from scratch: the code of the book."""
