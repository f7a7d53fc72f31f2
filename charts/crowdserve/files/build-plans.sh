# Build model.plan beside every model.onnx of a bundle, once: build-plans.sh SOURCE TARGET TRTEXEC_FLAGS…
# Networks come on standard input, one per line: NAME INPUT SMALLEST TYPICAL LARGEST, shapes as 1x64x64x3.
set -eu
PATH=$PATH:/opt/tensorrt/bin:/usr/src/tensorrt/bin
source=$1 target=$2
shift 2
if [ -e "$target/plans.sha256" ]; then
  echo "$target is complete"
  exit 0
fi
mkdir -p "$target"
cp -R "$source/." "$target/"
while read -r name input smallest typical largest; do
  for onnx in "$target/$name"/*/model.onnx; do
    [ -e "$onnx" ] || { echo "$target has no $name/<version>/model.onnx; is storage.uri a bundle?" >&2; exit 1; }
    plan=$(dirname "$onnx")/model.plan
    [ -e "$plan" ] && continue
    # In another place until complete: a Job that was interrupted continues there.
    trtexec --onnx="$onnx" --saveEngine="$target.partial" "$@" \
      --minShapes="$input:$smallest" --optShapes="$input:$typical" --maxShapes="$input:$largest" < /dev/null
    mv "$target.partial" "$plan"
  done
done
# Last, and by a rename: pods serve the plans that it lists, and no others.
(cd "$target" && sha256sum */*/model.plan) > "$target.partial"
mv "$target.partial" "$target/plans.sha256"
