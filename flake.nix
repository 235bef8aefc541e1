{
  description = "Restores a root file system to a blank snapshot at every boot";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: rec {
        blankroot = pkgs.callPackage ./nix/package.nix { };
        blankroot-zfs = pkgs.callPackage ./nix/package.nix { withZfs = true; };
        default = blankroot;
      });

      # Takes the package for the backend that the settings name.
      nixosModules.default = ./nix/module.nix;
    };
}
