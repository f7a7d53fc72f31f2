"""The bundle: everything that a cluster needs to serve, as one folder in S3, on a volume claim or in an OCI image.

    manifest.json                            SHA-256 and size of every other file, profile, versions
    manifest.json.sig                        its signature, if somebody signed the bundle
    <model>/config.pbtxt                     the Triton repository in one profile
    <model>/<version>/model.onnx
    vgg16/<version>/scene_classifier.*       read by the transformer
    <ensemble>/1/ensemble.txt                an ensemble has no model, but needs its version folder

A bundle is a complete Triton repository: KServe mounts it at /mnt/models, Triton serves it from there, and the
transformer compares it with its manifest before it starts. No file is empty, because KServe's download from S3 skips
empty objects.

The digest of a bundle is the SHA-256 of its manifest.json, byte for byte. Whatever the manifest does not list is a
difference, hidden files and folders too: Triton would serve them. A signature is over the manifest.

    repository ──build──► folder or .tar ──push──► folder (a mounted claim), s3://…, oci://…
                               │  └─verify─► every file that is missing, extra or changed
                               └──────────────┬─────────┘
                                            pull ──► the pulled bundles of a user
"""
