"""Talking mouths: what lips show of speech, drawn as video, and clips with transcripts on disk."""
