# Give every network a folder for its TensorRT engines that is named after its weights. onnxruntime names an engine
# after the names in a network, which every bundle shares, and would serve the engines of an earlier one.
for network in /mnt/models/*; do
  ls "$network"/*/model.onnx > /dev/null 2>&1 || continue # an ensemble
  name=${network##*/}
  folder=$name-$(cat "$network"/*/model.onnx | sha256sum | cut -c 1-16)
  mkdir -p "$engines/$folder"
  ln -sfn "$folder" "$engines/$name"
  if [ -n "$kept" ] && ls "$kept/$folder"/* > /dev/null 2>&1; then
    cp "$kept/$folder"/* "$engines/$folder/" || {
      rm -f "$engines/$folder"/* # Triton would load a partial engine, and builds a missing one
      echo "cannot take engines from $kept/$folder" >&2
    }
  fi
done
# Copy this pod's engines to the claim once Triton serves them, by a rename: no pod ever finds a partial engine.
keep_engines() {
  command -v curl > /dev/null || { echo "cannot keep engines in $kept: the image has no curl" >&2; return; }
  read -r part < /proc/sys/kernel/random/uuid
  until curl --silent --fail --output /dev/null --noproxy '*' "http://$own:8085/v2/health/ready"; do sleep 5; done
  find "$engines" -type f | while read -r file; do
    place=$kept/${file#"$engines/"}
    [ -e "$place" ] && continue
    mkdir -p "${place%/*}" && cp "$file" "$kept/.$part" && mv "$kept/.$part" "$place" || echo "cannot keep $place" >&2
  done
  rm -f "$kept/.$part" # from a failed copy
}
if [ -n "$kept" ]; then keep_engines & fi
