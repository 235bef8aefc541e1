# NixOS: `services.blankroot.settings` becomes /etc/blankroot.toml, here and in the initrd, whose
# systemd gets the generator. That writes the same units as on any other distribution, so that what they
# wait for is decided in one place.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.blankroot;
  toml = pkgs.formats.toml { };
  file = toml.generate "blankroot.toml" cfg.settings;
  storages = map (storage: storage.path) (cfg.settings.storage or [ ]);
  # Stage 1 mounts what is needed for boot; early kept paths and the activation rely on it.
  late = lib.filter (
    path: config.fileSystems ? ${path} && !config.fileSystems.${path}.neededForBoot
  ) storages;
in
{
  options.services.blankroot = {
    enable = lib.mkEnableOption "restoring the root to a blank snapshot at every boot";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { withZfs = (cfg.settings.root.backend or null) == "zfs"; };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { withZfs = …; }";
      description = "The package to use.";
    };

    settings = lib.mkOption {
      inherit (toml) type;
      default = { };
      example = lib.literalExpression ''
        {
          root = {
            backend = "btrfs";
            device = "/dev/disk/by-label/os";
            live = "root";
            blank = "root-blank";
            old = "old-roots";
          };
          storage = [
            {
              path = "/persist";
              directories = [ "/var/log" "/var/lib/nixos" ];
              files = [ "/etc/machine-id" ];
            }
          ];
        }
      '';
      description = "What {file}`/etc/blankroot.toml` says; see {manpage}`blankroot.toml(5)`.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.boot.initrd.systemd.enable;
        message = "services.blankroot needs systemd in the initrd: set boot.initrd.systemd.enable.";
      }
      {
        assertion = cfg.settings ? root;
        message = "services.blankroot.settings.root has to say where the root is.";
      }
      {
        assertion = late == [ ];
        message = "services.blankroot needs its storages in the initrd: set neededForBoot for ${lib.concatStringsSep ", " late}.";
      }
    ];

    environment.systemPackages = [ cfg.package ];
    environment.etc."blankroot.toml".source = file;

    # The generator and the units of the booted system; links in *.wants of a package are not taken over.
    systemd.packages = [ cfg.package ];
    systemd.services.blankroot-verify.wantedBy = [ "multi-user.target" ];
    systemd.services.blankroot-expire.wantedBy = [ "multi-user.target" ];

    boot.initrd.supportedFilesystems = lib.mkIf (cfg.settings.root.backend or null == "btrfs") [ "btrfs" ];
    boot.initrd.systemd = {
      contents."/etc/blankroot.toml".source = file;
      contents."/etc/systemd/system-generators/blankroot-generator".source =
        "${cfg.package}/lib/systemd/system-generators/blankroot-generator";
      storePaths = [ "${cfg.package}/bin/blankroot" ];
      # What is kept early, like /var/lib/nixos, is there before users and groups are made.
      services.initrd-nixos-activation.after = [ "blankroot-in-initrd.service" ];
    };
  };
}
