#!/usr/bin/env bash
# Sets up libtorch 2.11.0 for the crates that use tensors, then lets plain `cargo build` find it.
#
#   scripts/libtorch.sh            install if missing, write .cargo/config.toml
#   scripts/libtorch.sh --print    the same, and print the directory on stdout
#   scripts/libtorch.sh --verify   check the digests of the installed libraries again
#
# The libraries come out of the Python wheels `torch` and `nvidia-*`, fetched by pip from whatever index
# the user configured, and pinned below by SHA-256. They go to a per-user cache outside the checkout:
#   ${XDG_CACHE_HOME:-$HOME/.cache}/jielong/libtorch-2.11.0-<cpu|cuda>/{include,lib}
# Environment:
#   LIBTORCH                 your own libtorch 2.11.0 (holds include/ and lib/): used as it is, nothing is fetched
#   JIELONG_LIBTORCH=cpu|cuda  which build; default: cuda where nvidia-smi finds a GPU, cpu elsewhere
# A half-finished install is never taken for a whole one: everything is staged and then renamed.
set -euo pipefail

VERSION=2.11.0
TORCH="torch==$VERSION 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"
# libtorch_cpu.so is linked to these two, also where there is no GPU.
CUDA_STUBS="nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
# What libtorch_cuda.so needs at run time: the versions that torch 2.11.0 asks for.
CUDA_ALL="nvidia-cublas==13.1.0.3 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cuda-nvrtc==13.0.88 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cudnn-cu13==9.19.0.56 d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cufft==12.0.0.61 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cufile==1.15.1.6 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-curand==10.4.0.35 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-cusolver==12.0.4.66 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-cusparse==12.6.3.3 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-cusparselt-cu13==0.8.0 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-nccl-cu13==2.28.9 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-nvjitlink==13.0.88 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-nvshmem-cu13==3.4.5 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-nvtx==13.0.85 4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"
# The two libraries that our binaries name, as they are inside the wheel.
LIB_DIGESTS="99ea9120891528198d73d477714adf14ec662dec467aca8a3940796ccd452e91  libtorch_cpu.so
be5e17cd7752a6af003978706379384c3108f6b68916bb1949e610f6397bb640  libc10.so"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MARK="# Written by scripts/libtorch.sh, which replaces it; set LIBTORCH to use a libtorch of your own."

say() { echo "libtorch: $*" >&2; }
die() { # message, hint
  echo "error: $1" >&2
  [ -n "${2:-}" ] && printf '\nhint: %s\n' "$2" >&2
  exit 1
}

# Lets plain cargo commands see LIBTORCH. Rewritten only when it would differ: cargo rebuilds on a change.
write_cargo_config() { # directory
  local file="$ROOT/.cargo/config.toml" want
  want=$(printf '%s\n[env]\nLIBTORCH = "%s"' "$MARK" "$1")
  if [ -e "$file" ]; then
    local have
    have=$(<"$file")
    [ "$have" = "$want" ] && return 0
    if [ "${have%%$'\n'*}" != "$MARK" ]; then
      case "$have" in
        *"LIBTORCH"*) return 0 ;; # the user's own settings name one: theirs wins
        *) die ".cargo/config.toml exists and is not ours" "add under [env] there: LIBTORCH = \"$1\"" ;;
      esac
    fi
  fi
  mkdir -p "$ROOT/.cargo"
  printf '%s\n' "$want" >"$file.$$"
  mv -f "$file.$$" "$file"
}

finish() { # directory
  write_cargo_config "$1"
  if [ "$PRINT" = 1 ]; then printf '%s\n' "$1"; fi
}

has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

check_tools() { # kind
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    die "no libtorch $VERSION is pinned for $(uname -s) $(uname -m)" "install libtorch $VERSION yourself and set LIBTORCH to its directory"
  command -v python3 >/dev/null 2>&1 || die "python3 is not installed" "apt-get install python3 python3-pip"
  python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip" "apt-get install python3-pip"
  local need_mb=1800 free_mb
  [ "$1" = cuda ] && need_mb=9000
  free_mb=$(df -Pm "$CACHE" | awk 'NR==2 {print $4}')
  [ "$free_mb" -ge "$need_mb" ] ||
    die "$CACHE has $free_mb MB free, $need_mb MB are needed while installing" "free some space, or set XDG_CACHE_HOME to a larger disk"
}

# The wheels are taken for CPython 3.11 whatever python3 is: only the C++ libraries in them are used.
download() { # kind, staging directory
  local list="$TORCH"$'\n'"$CUDA_STUBS" name digest
  [ "$1" = cuda ] && list+=$'\n'"$CUDA_ALL"
  while read -r name digest; do
    echo "$name --hash=sha256:$digest"
  done <<<"$list" >"$2/requirements.txt"
  local platforms=() p
  for p in manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010 manylinux_2_5 manylinux1; do
    platforms+=(--platform "${p}_x86_64")
  done
  python3 -m pip download --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none "${platforms[@]}" \
    --dest "$2/wheels" --requirement "$2/requirements.txt" >&2 ||
    die "pip could not download torch $VERSION (its message stands above)" \
      "check the network and pip's index (pip config list), or set LIBTORCH to a libtorch $VERSION you have"
}

unpack() { # kind, staging directory
  python3 - "$1" "$2" <<'PY' || die "a downloaded wheel could not be unpacked" "run scripts/libtorch.sh again"
import glob, os, sys, zipfile
kind, stage = sys.argv[1:]
cpu = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
cuda = cpu | {"libtorch.so", "libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so", "libcaffe2_nvrtc.so"}
keep_torch = cuda if kind == "cuda" else cpu
def wanted(name):
    base = os.path.basename(name)
    if name.startswith("torch/include/"):
        return not name.endswith("/")
    if name.startswith("torch/lib/"):
        return name.count("/") == 2 and base in keep_torch
    # libcupti's profiling helpers are left out: nothing here links to them.
    return name.startswith("nvidia/") and "/lib/" in name and ".so" in base and not base.startswith(("libnvperf", "libpcsampling", "libcheckpoint"))
for wheel in sorted(glob.glob(os.path.join(stage, "wheels", "*.whl"))):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if wanted(name):
                archive.extract(name, stage)
    os.remove(wheel)
PY
  # The same tree serves both kinds, and the libraries' own RPATH ($ORIGIN/../../nvidia/…) works in it.
  ln -s torch/include "$2/include"
  ln -s torch/lib "$2/lib"
  # The CPU build stands in for libtorch.so, which in the wheel pulls in the CUDA half.
  [ "$1" = cuda ] || ln -s libtorch_cpu.so "$2/torch/lib/libtorch.so"
  echo "$VERSION" >"$2/build-version"
  rm -rf "$2/wheels" "$2/requirements.txt"
}

verify() { # directory
  (cd "$1/lib" && sha256sum --check --quiet --strict - <<<"$LIB_DIGESTS") >&2 ||
    die "the libraries in $1 are not those of torch $VERSION" "rm -rf '$1' and run scripts/libtorch.sh again"
}

install() { # kind, final directory
  mkdir -p "$CACHE" 2>/dev/null || die "$CACHE cannot be created" "set XDG_CACHE_HOME to a directory you can write to"
  exec 9>"$CACHE/.libtorch.lock"
  flock -n 9 || { say "another install is running, waiting for it"; flock 9; }
  [ -e "$2/.complete" ] && return 0
  check_tools "$1"
  rm -rf "$2" "$CACHE/.stage-libtorch-$VERSION-$1".*
  local stage="$CACHE/.stage-libtorch-$VERSION-$1.$$"
  mkdir -p "$stage/wheels"
  trap 'rm -rf "$stage"' EXIT
  trap 'exit 130' INT TERM
  say "fetching torch $VERSION ($1) into $CACHE: once a user, $([ "$1" = cpu ] && echo 0.55 || echo 2.5) GB"
  download "$1" "$stage"
  unpack "$1" "$stage"
  verify "$stage"
  echo "$VERSION $1" >"$stage/.complete"
  sync -f "$stage" 2>/dev/null || true
  mv -T "$stage" "$2"
  trap - EXIT INT TERM
  exec 9>&-
  say "installed $2"
}

PRINT=0 VERIFY=0
for arg in "$@"; do
  case "$arg" in
    --print) PRINT=1 ;;
    --verify) VERIFY=1 ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "error: unknown argument \`$arg\`" >&2; printf '\nhint: scripts/libtorch.sh [--print] [--verify]\n' >&2; exit 2 ;;
  esac
done

if [ -n "${LIBTORCH:-}" ]; then
  [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || [ -e "$LIBTORCH/lib/libtorch_cpu.dylib" ] ||
    die "LIBTORCH is \`$LIBTORCH\`, which holds no lib/libtorch_cpu.so" "point it at a libtorch $VERSION, or unset it"
  LIBTORCH=$(cd "$LIBTORCH" && pwd)
  finish "$LIBTORCH"
  exit 0
fi

CACHE="${XDG_CACHE_HOME:-${HOME:?neither LIBTORCH, XDG_CACHE_HOME nor HOME is set}/.cache}/jielong"
KIND=${JIELONG_LIBTORCH:-}
if [ -z "$KIND" ]; then
  if has_gpu; then KIND=cuda; else KIND=cpu; fi
fi
case "$KIND" in cpu | cuda) ;; *) die "JIELONG_LIBTORCH is \`$KIND\`" "use cpu or cuda" ;; esac
DIR="$CACHE/libtorch-$VERSION-$KIND"
[ -e "$DIR/.complete" ] || install "$KIND" "$DIR"
[ "$VERIFY" = 1 ] && verify "$DIR" && say "digests are as expected"
finish "$DIR"
