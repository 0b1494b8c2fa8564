//! What all connections and the test play on together: the world, the roles, the scripts and the
//! list of requests, behind one lock each, and the settings.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    iam::Iam,
    identifiers::Identifiers,
    region::{Region, RegionError, Regions},
    role::{Role, RoleError},
    script::{Script, ScriptError, Scripts},
    seed::{Seed, SeedError},
    seen::SeenLog,
    settings::Settings,
    world::World,
};

/// Shared by everything in one simulator.
pub(crate) struct Stage {
    pub(crate) settings: Settings,
    pub(crate) ids: Identifiers,
    world: Mutex<World>,
    regions: Mutex<Regions>,
    iam: Mutex<Iam>,
    scripts: Mutex<Scripts>,
    seen: Mutex<SeenLog>,
}

impl Stage {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            world: Mutex::default(),
            regions: Mutex::new(Regions::new(&settings.regions, settings.dialect)),
            iam: Mutex::default(),
            scripts: Mutex::default(),
            seen: Mutex::new(SeenLog::new()),
            ids: Identifiers::default(),
            settings,
        }
    }

    pub(crate) fn seed(&self, seed: Seed) -> Result<(), SeedError> {
        // The same order as for a call: both at once would lock each other out otherwise.
        let regions = self.regions();
        seed.plant(&mut self.world(), &regions, &self.ids, &self.settings.account)
    }

    pub(crate) fn region(&self, region: Region) -> Result<(), RegionError> {
        region.check()?;
        self.regions().put(region);
        Ok(())
    }

    pub(crate) fn role(&self, role: Role) -> Result<(), RoleError> {
        self.iam().add(role, &self.ids)
    }

    pub(crate) fn script(&self, script: Script) -> Result<(), ScriptError> {
        self.scripts().add(script, &self.regions())
    }

    /// Forgets the scripts, and nothing else.
    pub(crate) fn clear_scripts(&self) {
        *self.scripts() = Scripts::default();
    }

    /// Forgets buckets, operations, roles, sessions, scripts and requests, and changes of Regions.
    pub(crate) fn reset(&self) {
        *self.world() = World::default();
        *self.iam() = Iam::default();
        *self.regions() = Regions::new(&self.settings.regions, self.settings.dialect);
        self.clear_scripts();
        self.seen().clear();
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn regions(&self) -> MutexGuard<'_, Regions> {
        lock(&self.regions)
    }

    pub(crate) fn iam(&self) -> MutexGuard<'_, Iam> {
        lock(&self.iam)
    }

    pub(crate) fn scripts(&self) -> MutexGuard<'_, Scripts> {
        lock(&self.scripts)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, SeenLog> {
        lock(&self.seen)
    }
}

/// A panic elsewhere does not make what it was looking at wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
