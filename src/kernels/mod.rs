//! Kernels without their modules: a boot loader starts the kernel that is installed, from wherever its files
//! are, and the modules lie in the root, which the next boot takes from blank. Pure; [`installed`] and
//! [`image`] read.

pub mod image;
pub mod installed;

use crate::report::status::Problem;

/// What to do while the root still has the modules.
pub const BEFORE: &str = "make a new blank that has them, before you reboot; or run `blankroot hold`, so that \
                          the next boot keeps this root, and make it then";
/// What a kernel cannot do without its modules.
pub const WHY: &str = "without its modules a kernel has no drivers but those in its initrd: no network, and \
                       perhaps no keyboard";

/// A kernel, and who has modules for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` tells it.
    pub release: String,
    /// What it is, for people: its file, or that it runs.
    pub what: String,
    /// The root has its modules.
    pub now: bool,
    /// The root of the next boot has them.
    pub after: bool,
}

/// The kernels of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// Those that a boot loader may start; empty, too, where that cannot be told.
    pub installed: Vec<Kernel>,
    /// The one that runs; `None` where another system's runs, as in a container or from a rescue medium.
    pub running: Option<Kernel>,
    /// It has loaded modules.
    pub loads_modules: bool,
    /// The releases that the root of the next boot has modules for.
    pub in_blank: Vec<String>,
}

impl Kernels {
    /// Those that lose their modules by the next boot. One that has none now may be another system's, or
    /// need none.
    pub fn losing(&self) -> impl Iterator<Item = &Kernel> {
        // It is the best guess where no other kernel is seen.
        let guess = self.running.iter().filter(|_| self.installed.is_empty());
        self.installed.iter().chain(guess).filter(|kernel| kernel.now && !kernel.after)
    }

    /// The running one, if it has lost them. Right after an upgrade the root may lack those of the running
    /// kernel, too: then blank has them.
    pub fn lost(&self) -> Option<&Kernel> {
        let running = self.running.as_ref()?;
        (self.loads_modules && !running.now && !running.after).then_some(running)
    }

    /// That a kernel loses its modules, in one line.
    pub fn told_of_losing(&self, kernel: &Kernel) -> String {
        let Kernel { release, what, .. } = kernel;
        format!("after the next boot there are no modules for {what}, {release}: {}", self.blank())
    }

    /// That the running kernel has lost them, in one line.
    pub fn told_of_lost(&self, kernel: &Kernel) -> String {
        let Kernel { release, what, .. } = kernel;
        format!("there are no modules for {what}, {release}, in this root: {}", self.blank())
    }

    /// What to do when they are lost.
    pub fn mend_of_lost(&self) -> String {
        let boot = match self.in_blank.as_slice() {
            [] => "boot a kernel that needs none".to_string(),
            there => format!("choose {} in the boot loader", there.join(" or ")),
        };
        format!("{boot}; then install the newer kernel again, and make a new blank with it")
    }

    /// The same as `status` tells it.
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |text, mend: &str| Problem { text, mend: Some(mend.to_string()) };
        let losing = self.losing().map(|kernel| problem(self.told_of_losing(kernel), BEFORE));
        let lost =
            self.lost().map(|kernel| problem(self.told_of_lost(kernel), &self.mend_of_lost()));
        lost.into_iter().chain(losing).collect()
    }

    fn blank(&self) -> String {
        match self.in_blank.as_slice() {
            [] => "blank has none at all".to_string(),
            there => format!("blank has those of {}", there.join(", ")),
        }
    }
}
