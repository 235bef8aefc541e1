# The command, systemd's generator and units, man pages and completions:
# `pkgs.callPackage ./nix/package.nix { }`, for a root on ZFS with `withZfs = true`.
{
  lib,
  rustPlatform,
  btrfs-progs,
  installShellFiles,
  withZfs ? false,
}:

rustPlatform.buildRustPackage {
  pname = if withZfs then "blankroot-zfs" else "blankroot";
  inherit ((lib.importTOML ../Cargo.toml).workspace.package) version;

  # Everything that the workspace names; a change of this file builds nothing anew.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.lock
      ../Cargo.toml
      ../backends
      ../benches
      ../boot
      ../docs/man
      ../examples
      ../src
      ../tests
      ../vm-tests
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [
    installShellFiles
    rustPlatform.bindgenHook
  ];
  # libbtrfsutil
  buildInputs = [ btrfs-progs ];

  # What the units name.
  env.BLANKROOT_COMMAND = "${placeholder "out"}/bin/blankroot";
  buildFeatures = lib.optional withZfs "zfs";
  cargoBuildFlags = [
    "--bin"
    "blankroot"
    "--bin"
    "blankroot-generator"
  ];
  postBuild = ''
    cargo run --offline --example man -- pages
  '';
  postInstall = ''
    mkdir -p $out/lib/systemd/system-generators
    mv $out/bin/blankroot-generator $out/lib/systemd/system-generators/
    for unit in boot/systemd/*.service; do
      install -Dm644 -t $out/lib/systemd/system $unit
    done
    substituteInPlace $out/lib/systemd/system/*.service --replace-fail /usr/bin/blankroot $out/bin/blankroot
    installManPage pages/man*/*
    installShellCompletion pages/completions/blankroot.{bash,fish} pages/completions/_blankroot
  '';

  # The tests need root and loop devices: `make test`.
  doCheck = false;

  meta = {
    description = "Restores the root file system to a blank snapshot at every boot, and tells what appeared since";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = "blankroot";
  };
}
