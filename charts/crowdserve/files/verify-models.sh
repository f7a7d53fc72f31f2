# Compare the models with the SHA-256 sums in their manifest.json, as the transformer does with a copy of its own.
if [ -e /mnt/models/manifest.json ]; then
  sed -n -e '/^    ".*": {$/h' -e '/"sha256"/{G;s/.*"sha256": "\([0-9a-f]*\)",\n *"\(.*\)": {$/\1  \2/p;}' \
    /mnt/models/manifest.json | (cd /mnt/models && sha256sum --check --quiet --strict >&2) || {
    echo "/mnt/models is not what its manifest.json says: push the bundle to a new address, set storage.uri" >&2
    exit 1
  }
elif [ "$verify" = required ]; then
  echo "/mnt/models has no manifest.json: it is no bundle, or its copy was interrupted; push it again" >&2
  exit 1
fi
