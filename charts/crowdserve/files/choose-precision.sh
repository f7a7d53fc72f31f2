# Choose the configuration of the networks on a CPU. Bundles of the embedded profile have one for bfloat16, and one with CSRNet in
# 8 bits, which the image from pip runs with OpenVINO: in a half and a quarter of the time, on processors that have instructions
# for bfloat16. NVIDIA's image runs onnxruntime in FP32; its ways to OpenVINO were not tried.
refuse() { echo "triton.precision $precision needs $1" >&2; exit 1; }
if [ "$backend" = python ]; then
  has_bf16() { grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo && python -c 'import importlib.util as u; exit(not u.find_spec("openvino"))'; }
  case $precision in
    auto) if has_bf16; then precision=bf16; else precision=fp32; fi ;;
    bf16 | int8)
      has_bf16 || refuse "a node whose processor has AVX-512-BF16 or AMX, and the image crowdserve-triton-cpu; take auto, or choose nodes"
      # Triton would take FP32 where a bundle has no configuration of that name.
      for network in /mnt/models/*/*/model.py; do
        [ -e "${network%/*/*}/configs/$precision.pbtxt" ] || refuse "a bundle of the embedded profile that a crowdserve with it has built"
      done
      ;;
  esac
  if [ "$precision" = fp32 ]; then
    export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}" # memory that is freed after each photo, in huge pages
  fi
  set -- "$@" "--model-config-name=$precision"
else
  case $precision in
    bf16 | int8) refuse "the image crowdserve-triton-cpu and a bundle of the embedded profile" ;;
  esac
  set -- "$@" --model-config-name=cpu
fi
