"""From files on disk to label tables and uint8 views of photos; knows nothing of torch."""
