"""What surrounds the watcher of `crowdserve watch`: changes of its configuration, its lines, its share of cameras."""
