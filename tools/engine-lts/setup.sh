# Part of tools/setup --engine=lts: the engine's long-term line, built from its source.
#
# The wheel of PyPI follows the newest version; patch releases of a long-term line come as source
# only. Cargo.toml says which parts are built, Cargo.lock pins each crate by its hash. It lands beside
# the wheel's library, as the pkg-config package wasmtime-lts.
lts=tools/engine-lts
lts_field() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" $lts/Cargo.toml | head -1; }
lts_version=$(lts_field version)
rust_wanted=$(lts_field rust-version)
lts_stamp=$deps/lts/.done-$(cat $lts/Cargo.toml $lts/Cargo.lock $lts/src/lib.rs $lts/setup.sh | cksum | cut -d' ' -f1)

is_at_least() { printf '%s\n%s\n' "$1" "$2" | sort -CV; } # wanted given
rust_found() { rustc --version 2>/dev/null | cut -d' ' -f2; }
rust_is_here() { command -v cargo >/dev/null && is_at_least "$rust_wanted" "$(rust_found | grep . || echo 0)"; }
rust_of_apt() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9.]*\).*/\1/p' | grep . || echo 0; }

# Beside its own rustc Debian keeps a newer one for its browsers, in the security archive.
rust_get() {
    local name
    PATH=$PATH:$HOME/.cargo/bin
    rust_is_here && return
    as_root apt-get -o DPkg::Lock::Timeout=600 -qq update >"$deps/apt.log" 2>&1 9>&- || true
    for name in "" -web; do
        is_at_least "$rust_wanted" "$(rust_of_apt rustc$name)" || continue
        say "installing rustc$name and cargo$name"
        apt_install --no-remove rustc$name cargo$name
        hash -r
        rust_is_here && return
    done
    say "the long-term engine needs Rust $rust_wanted or newer, with cargo. Here is $(rust_found | grep . || echo none);"
    say "apt has $(rust_of_apt rustc) (rustc) and $(rust_of_apt rustc-web) (rustc-web). Bring one into PATH: https://rustup.rs,"
    say "or the security archive of Debian 12, whose rustc-web is new enough; then tools/setup --engine=lts again."
    fail "Without it everything builds with the engine of the wheel."
}

engine_lts() {
    [ -e "$lts_stamp" ] && return
    one_at_a_time
    [ -e "$lts_stamp" ] && return
    local log=$deps/engine-lts.log
    rust_get
    command -v cmake >/dev/null || apt_install cmake
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "building wasmtime $lts_version with Rust $(rust_found) (5 to 15 minutes; log: $log)"
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work/made}
    nice cargo build --release --locked --manifest-path $lts/Cargo.toml >"$log" 2>&1 9>&- \
        || { tail -20 "$log" >&2; fail "it was not built; the whole log is $log"; }
    mkdir -p "$deps/lts/lib"
    rm -rf "$deps/lts/include"
    # This version's own, as its build installs them.
    cp -r "$(ls -td "$CARGO_TARGET_DIR"/release/build/wasmtime-c-api-impl-*/out/include | head -1)" "$deps/lts/include"
    put "$CARGO_TARGET_DIR/release/libwasmtime.so" "$deps/lts/lib/libwasmtime.so"
    pc wasmtime-lts "$lts_version" "-L$deps/lts/lib -lwasmtime" "$deps/lts"
    rm -f "$deps"/lts/.done-*
    touch "$lts_stamp"
    say "done"
}
