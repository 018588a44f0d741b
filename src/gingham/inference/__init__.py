"""Using a tagger: bundles on disk, cached features, the public `Tagger`, and tagging many images."""
