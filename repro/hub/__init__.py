"""Artefacts as folders of the Hugging Face hub: stock model classes, tokenizers, cards."""
