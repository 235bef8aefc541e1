# Two commands do everything on a fresh machine: `make demo` shows it, `make test` proves it. Both
# install the system packages they miss (see tools/setup). CI calls the same targets.

.PHONY: demo test check schemas bench fuzz setup help install uninstall deb vm-guests vm-test
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:
	@echo "make demo    the whole story on a throwaway file system"
	@echo "make test    every test, then each fuzz target for FUZZ_SECONDS (60)"
	@echo "make check   format, lints, documentation, licences"
	@echo "make schemas writes docs/reference/*.schema.json anew; make test fails while they are not current"
	@echo "make fuzz    the fuzz targets alone, each for FUZZ_SECONDS (60)"
	@echo "make bench   against peers, side by side; BENCH_LARGE=0 leaves out 5 million files"
	@echo "make install DESTDIR=... PREFIX=/usr   everything where distributions expect it; make uninstall"
	@echo "make deb     Debian packages in target/deb, without and with the backend for ZFS"
	@echo "make vm-test NAME=...   real kernels, initrds, reboots and power cuts, in QEMU; RING=ci or rest: a part"
	@echo "make setup   only installs what the others need"

# The development profile: its parts are the same that the tests need, and they build in a third of
# the time of a release.
demo:
	@tools/setup demo
	@cargo run -- demo

test:
	@tools/setup test
	@tools/test

check:
	@tools/setup build
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo run --quiet -p layout -- check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --exclude peers --exclude vm-tests --all-targets --no-default-features -- -D warnings
	cargo clippy -p blankroot -p backends -p scratch --all-targets --no-default-features --features blankroot/zfs -- -D warnings
	cargo clippy -p blankroot -p backends -p scratch --all-targets --features blankroot/zfs -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features backends/faults
	@if command -v shellcheck >/dev/null; then shellcheck -S warning $$(find tools -maxdepth 1 -type f) benches/run fuzz/run .ci/run \
	boot/initramfs-tools/* boot/dracut/* findings/*.sh && shellcheck -S warning -s bash boot/mkinitcpio/*install && \
	shellcheck -S warning -s dash boot/mkinitcpio/hook hooks/profile.sh; \
	else echo "check: shell scripts not checked, shellcheck is not installed"; fi
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; \
	else echo "check: licences and sources not checked, cargo-deny is not installed"; fi

# Each schema is written by the test that compares it.
schemas:
	@tools/setup build
	SNAPSHOTS=overwrite cargo test --quiet -p blankroot --lib the_published_schema

bench:
	@tools/setup bench
	@benches/run

fuzz:
	@tools/setup test
	@fuzz/run

setup:
	@tools/setup test

install:
	@tools/setup build
	@tools/install

uninstall:
	@tools/install --remove

deb:
	@tools/setup deb
	@tools/deb blankroot
	@tools/deb blankroot-zfs

# All that guests of CI are made of but the packages.
vm-guests:
	@tools/setup vm
	@cargo run --quiet -p vm-tests --bin make-guests

vm-test:
	@tools/setup vm
	@NAME="$(NAME)" RING="$(RING)" tools/vm-test
