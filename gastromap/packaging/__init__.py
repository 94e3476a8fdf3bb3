"""MONAI Application Package: manifests, build context, wheelhouse, licences, bill of materials, image."""
