//! What names single paths and is no package's list: units, tmpfiles.d, homes, scripts, open files.

use std::collections::HashMap;

use super::owner::How;
use super::package_files::PackageId;

/// Who claims a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claimant {
    /// A package.
    Package(PackageId),
    /// The unit of this number.
    Unit(u32),
    /// The user of this number in the order of passwd(5).
    User(u32),
}

/// One reason why a path belongs to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who it would belong to.
    pub claimant: Claimant,
    /// Why.
    pub how: How,
}

/// So many claims of one path and kind are kept: eight dispute it as well as a hundred.
const MAX_ALIKE: usize = 8;

/// Claims by path, without leading slash.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    by_path: HashMap<Vec<u8>, Vec<Claim>>,
}

impl Claims {
    /// Adds a claim; the same one counts once.
    pub fn add(&mut self, path: &[u8], claimant: Claimant, how: How) {
        let claim = Claim { claimant, how };
        match self.by_path.get_mut(path) {
            Some(claims) => {
                let alike = claims.iter().filter(|other| other.how == how).count();
                if alike < MAX_ALIKE && !claims.contains(&claim) {
                    claims.push(claim);
                }
            }
            None => {
                self.by_path.insert(path.to_vec(), vec![claim]);
            }
        }
    }

    /// The claims of a path that are made in the way that counts most, of those that count at all; empty if there
    /// are none.
    pub fn foremost(&self, path: &[u8], counts: impl Fn(How) -> bool) -> Vec<Claim> {
        let claims = self.by_path.get(path).map_or(&[][..], Vec::as_slice);
        let how = claims.iter().map(|claim| claim.how).filter(|&how| counts(how)).min();
        claims.iter().filter(|claim| Some(claim.how) == how).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_that_count_most_are_told_together() {
        let mut claims = Claims::default();
        let (one, two) = (Claimant::Unit(1), Claimant::Unit(2));
        claims.add(b"var/lib/x", one, How::Script);
        claims.add(b"var/lib/x", one, How::Tmpfiles);
        claims.add(b"var/lib/x", two, How::StateDirectory);
        claims.add(b"var/lib/x", two, How::Script);
        claims.add(b"var/lib/x", two, How::Script);
        let all = claims.foremost(b"var/lib/x", |_| true);
        assert_eq!(all, [Claim { claimant: two, how: How::StateDirectory }]);
        let scripts = claims.foremost(b"var/lib/x", |how| how == How::Script);
        assert_eq!(scripts.iter().map(|claim| claim.claimant).collect::<Vec<_>>(), [one, two]);
        assert_eq!(claims.foremost(b"var/lib", |_| true), []);
    }

    #[test]
    fn claims_of_one_kind_are_bounded_and_push_out_no_other() {
        let mut claims = Claims::default();
        (0..1000).for_each(|number| claims.add(b"x", Claimant::Unit(number), How::Script));
        claims.add(b"x", Claimant::User(0), How::Home);
        assert_eq!(claims.foremost(b"x", |how| how == How::Script).len(), MAX_ALIKE);
        assert_eq!(claims.foremost(b"x", |_| true).len(), 1);
    }
}
