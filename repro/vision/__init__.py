"""Image data: drawings and scenes made of them, sets of pictures with texts, batches, crops."""
