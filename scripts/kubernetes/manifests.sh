part_manifests() { :; }
