# Compare a folder of models with its manifest.json before anything reads a model: verify_models FOLDER. Variables:
# $verify     required; auto lets a folder without a manifest pass
# $digest     SHA-256 of the manifest, with or without sha256: before it; empty: any
# $public_key file with the public key (PEM) that manifest.json.sig must be of; empty: no signature needed
# $plans      yes lets the model.plan files pass that plans.sha256 lists, otherwise no
# The transformer compares a bundle as well, but Triton does not wait for it.
refuse() {
  printf '%s\n' "$1" | tr -c '\040-\176\n' '?' >&2
  exit 1
}
# Lines for sha256sum out of a manifest in the one layout that crowdserve writes.
manifest_files() {
  part=head
  while IFS= read -r line; do
    case $part:$line in
      'head:  "files": {') part=files ;;
      head:*) ;;
      files:'    "'*'": {')
        path=${line#'    "'}
        path=${path%'": {'}
        part=file ;;
      file:'      "sha256": "'*'",')
        hash=${line#'      "sha256": "'}
        hash=${hash%'",'}
        part=hash ;;
      hash:'      "size_bytes": '*)
        case $path in
          '' | [/.-]* | *//* | */.* | */ | *[!A-Za-z0-9._/-]* | manifest.json | manifest.json.sig | plans.sha256)
            refuse "manifest.json lists $path, expected a path of letters, digits and ._-/" ;;
        esac
        is_hash "$hash" || refuse "manifest.json gives $path the SHA-256 $hash"
        echo "$hash  $path"
        part=size ;;
      'size:    },') part=files ;;
      'size:    }') part=last ;;
      'last:  },') part=tail ;;
      'tail:  "files"'*) break ;;
      tail:'}') part=end ;;
      tail:*) ;;
      *) part="after $part" && break ;;
    esac
  done < manifest.json
  [ "$part" = end ] || refuse "manifest.json is not as crowdserve bundle build writes it: $part $line"
}
# The same out of plans.sha256, for plans beside a network of the manifest.
plan_files() {
  while read -r hash path; do
    case $path in
      */*/model.plan) grep -qxF -e "${path%plan}onnx" "$work/listed" || refuse "plans.sha256 lists $path, a plan of no network" ;;
      *) refuse "plans.sha256 lists $path, expected plans" ;;
    esac
    is_hash "$hash" || refuse "plans.sha256 gives $path the SHA-256 $hash"
    echo "$hash  $path"
  done < plans.sha256
}
is_hash() {
  case $1 in *[!0-9a-f]*) return 1 ;; esac
  [ ${#1} -eq 64 ]
}
# Every folder above the paths on standard input.
folders_of() {
  while read -r path; do
    while [ "$path" != "${path%/*}" ]; do
      path=${path%/*}
      echo "$path"
    done
  done
}
verify_models() ( # in a shell of its own, for the folder and the locale
  LC_ALL=C
  export LC_ALL
  cd "$1"
  again="push the bundle to a new address, set storage.uri"
  if [ ! -f manifest.json ] || [ -L manifest.json ]; then
    if [ "$verify$digest$public_key" = auto ]; then exit 0; fi
    refuse "$1 has no manifest.json: it is no bundle, or its copy was interrupted; push it again"
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if [ -n "$digest" ]; then
    found=$(sha256sum < manifest.json)
    found=sha256:${found%% *}
    [ "$found" = "sha256:${digest#sha256:}" ] || refuse "$1 is the bundle $found, expected sha256:${digest#sha256:}: $again and storage.digest"
  fi
  if [ -n "$public_key" ]; then
    command -v openssl > /dev/null || refuse "the image has no openssl to check a signature: take one that has, or empty storage.publicKey"
    [ -f manifest.json.sig ] && [ ! -L manifest.json.sig ] || refuse "$1 has no manifest.json.sig: sign the bundle (crowdserve bundle sign)"
    base64 -d < manifest.json.sig > "$work/signature" 2> /dev/null || refuse "$1/manifest.json.sig is no signature in base64"
    openssl dgst -sha256 -verify "$public_key" -signature "$work/signature" manifest.json > /dev/null 2>&1 ||
      refuse "$1/manifest.json.sig is not of its manifest.json by the key in storage.publicKey: $again"
  fi
  # First what could not be compared line by line. lost+found belongs to a volume, where it is empty or root's.
  strange=$(find . -type d -path ./lost+found -prune -o \( -name '*[!A-Za-z0-9._-]*' -o ! -type d ! -type f \) -print)
  [ -z "$strange" ] || refuse "$1 has links, devices or odd names: $strange; $again"
  [ "$(wc -c < manifest.json)" -le 1048576 ] || refuse "$1/manifest.json is over 1 MiB, which no manifest is"
  if [ -r lost+found ] && [ -n "$(find lost+found -type d -o -print)" ]; then refuse "$1/lost+found is not empty"; fi
  manifest_files > "$work/files"
  cut -c 67- "$work/files" > "$work/listed"
  if [ "$plans" = yes ] && [ -f plans.sha256 ]; then
    plan_files > "$work/plans"
    cut -c 67- "$work/plans" >> "$work/listed"
    cat "$work/plans" >> "$work/files"
    echo plans.sha256 >> "$work/listed"
  fi
  # Beside them: what Hugging Face keeps in a repository, and its download leaves behind, by its exact names.
  hub=.cache/huggingface
  printf '%s\n' manifest.json manifest.json.sig .gitattributes >> "$work/listed"
  sed "s,.*,$hub/download/&.metadata," "$work/listed" > "$work/hub"
  sed "s,.*,$hub/download/&.lock," "$work/listed" >> "$work/hub"
  printf "$hub/%s\n" .gitignore .gitignore.lock CACHEDIR.TAG >> "$work/hub"
  cat "$work/hub" >> "$work/listed"
  { cat "$work/listed"; echo $hub/trees/x; } | folders_of > "$work/folders"
  extra=$(
    find . -type d -path ./lost+found -prune -o -type f -print | cut -c 3- | grep -vxF -f "$work/listed" |
      grep -vxE "$hub/trees/[0-9a-f]{40}[.]json" || true
    find . -type d -path ./lost+found -prune -o -type d ! -name . -print | cut -c 3- | grep -vxF -f "$work/folders" || true
  )
  [ -z "$extra" ] || refuse "$1 has what its manifest.json does not list: $extra; $again"
  sha256sum -c < "$work/files" > "$work/result" 2> /dev/null || {
    grep -v ': OK$' "$work/result" >&2 || true
    refuse "$1 is not what its manifest.json says: $again"
  }
)
