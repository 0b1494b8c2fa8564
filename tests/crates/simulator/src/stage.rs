//! What all connections and the test play on together: the world, the roles, the scripts and the
//! list of requests, behind one lock each, and the settings.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    iam::Iam,
    identifiers::Identifiers,
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
    iam: Mutex<Iam>,
    scripts: Mutex<Scripts>,
    seen: Mutex<SeenLog>,
}

impl Stage {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            world: Mutex::default(),
            iam: Mutex::default(),
            scripts: Mutex::default(),
            seen: Mutex::new(SeenLog::new()),
            ids: Identifiers::default(),
            settings,
        }
    }

    pub(crate) fn seed(&self, seed: Seed) -> Result<(), SeedError> {
        seed.plant(&mut self.world(), &self.ids, &self.settings.account)
    }

    pub(crate) fn role(&self, role: Role) -> Result<(), RoleError> {
        self.iam().add(role, &self.ids)
    }

    pub(crate) fn script(&self, script: Script) -> Result<(), ScriptError> {
        self.scripts().add(script)
    }

    /// Forgets the scripts, and nothing else.
    pub(crate) fn clear_scripts(&self) {
        *self.scripts() = Scripts::default();
    }

    /// Forgets buckets, operations, roles, sessions, scripts and requests.
    pub(crate) fn reset(&self) {
        *self.world() = World::default();
        *self.iam() = Iam::default();
        self.clear_scripts();
        self.seen().clear();
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
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
