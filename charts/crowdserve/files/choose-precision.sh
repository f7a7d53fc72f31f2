# Choose the configuration of the networks on a CPU. Bundles of the embedded profile have one for bfloat16, and two with CSRNet in
# 8 bits, the rest in bfloat16 or in FP32, which the image from pip runs with OpenVINO: bfloat16 on processors that have
# instructions for it, 8 bits on those with AVX2. NVIDIA's image runs onnxruntime in FP32; its ways to OpenVINO were not tried.
refuse() { echo "triton.precision $precision needs $1" >&2; exit 1; }
if [ "$backend" = python ]; then
  has_openvino() { python -c 'import importlib.util as u; exit(not u.find_spec("openvino"))'; }
  has_bf16() { grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo && has_openvino; }
  has_int8() { grep -qw avx2 /proc/cpuinfo && has_openvino; }
  execution=$precision
  case $precision in
    auto) if has_bf16; then execution=bf16; else execution=fp32; fi ;;
    bf16) has_bf16 || refuse "a node whose processor has AVX-512-BF16 or AMX, and the image crowdserve-triton-cpu; take auto, or choose nodes" ;;
    int8)
      has_int8 || refuse "a node whose processor has AVX2, and the image crowdserve-triton-cpu; take auto, or choose nodes"
      has_bf16 || execution=int8-fp32
      ;;
  esac
  if [ "$precision" = bf16 ] || [ "$precision" = int8 ]; then
    # Triton would take FP32 where a bundle has no configuration of that name.
    for network in /mnt/models/*/*/model.py; do
      [ -e "${network%/*/*}/configs/$execution.pbtxt" ] || refuse "a bundle of the embedded profile that a crowdserve with it has built"
    done
  fi
  case $execution in
    *fp32) export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}" ;; # memory that is freed after each photo, in huge pages
  esac
  set -- "$@" "--model-config-name=$execution"
else
  case $precision in
    bf16 | int8) refuse "the image crowdserve-triton-cpu and a bundle of the embedded profile" ;;
  esac
  set -- "$@" --model-config-name=cpu
fi
