//! A simulator of the bucket operations of Amazon Lightsail: a small HTTP server that speaks
//! Lightsail's protocol (JSON 1.1, Signature Version 4) to any AWS SDK, keeps buckets, access keys
//! and operations in memory, and fails in the ways that a [`Script`] asks for. At the same address
//! it is as much of STS as it takes to assume a [`Role`] in another account.
//!
//! It exists because no other simulator of AWS has Lightsail's buckets, and because what matters
//! most to a client that deletes keys cannot be brought about on a real account: a reset after
//! the work is done, an operation that never ends, a key that is still listed.
//!
//! ```
//! use lightsail_simulator::{Fault, Operation, Script, Seed, Simulator};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Simulator::start().await?;
//! simulator.seed(Seed::bucket("eu-west-1", "invoices").key("AKIAIOSFODNN7EXAMPLE"))?;
//! simulator.script(Script::new(Operation::DeleteBucketAccessKey, Fault::ResetAfter))?;
//! let endpoint = simulator.endpoint(); // for the client under test
//! # let _ = endpoint;
//! assert!(simulator.requests().is_empty());
//! # Ok(())
//! # }
//! ```

mod bucket;
pub mod clock;
mod connection;
mod control_door;
mod delete;
mod delivery;
mod dialect;
mod fault;
mod front_door;
mod iam;
mod identifiers;
mod input;
mod operation;
mod page;
mod record;
mod refusal;
mod region;
mod role;
mod script;
mod seed;
mod seen;
mod service;
mod settings;
mod signature;
mod stage;
mod sts;
mod timestamp;
mod work;
mod world;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderValue,
        header::{CONNECTION, DATE},
    },
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    connection::{Connection, Doorway, Incoming, OpenConnections},
    stage::Stage,
};

pub use crate::{
    bucket::{KeyStatus, LastUsed, Tag},
    connection::Dialer,
    dialect::{
        AbsentKey, DeleteOperations, Dialect, DialectError, EmptyLists, MissingBucket, NewRegion, OperationMemory,
        OptInRegions, TagDeny, UnusedAccount,
    },
    fault::{Fault, Member},
    operation::{Operation, UnknownOperation},
    region::{Region, RegionError},
    role::{Role, RoleError},
    script::{Script, ScriptError},
    seed::{Seed, SeedError, SeedKey},
    seen::SeenRequest,
    settings::Settings,
};

/// A simulator that runs until it is dropped. Then its connections are reset, too.
pub struct Simulator {
    stage: Arc<Stage>,
    address: SocketAddr,
    open: OpenConnections,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts one on a free port of the loopback interface, in the Tokio runtime of the caller.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// Starts one with these settings. An error says which of them cannot be.
    pub async fn start_with(settings: Settings) -> io::Result<Self> {
        settings.check()?;
        let listener = TcpListener::bind(settings.bind).await?;
        let address = listener.local_addr()?;
        Ok(Self::serve(settings, address, Incoming::Tcp(listener)))
    }

    /// Starts one without a socket, which is reached through the dialer. With paused Tokio time
    /// nothing that it does takes any.
    pub fn start_in_memory(settings: Settings) -> io::Result<(Self, Dialer)> {
        settings.check()?;
        let (dialer, incoming) = Dialer::new();
        Ok((Self::serve(settings, connection::IN_MEMORY, incoming), dialer))
    }

    fn serve(settings: Settings, address: SocketAddr, incoming: Incoming) -> Self {
        let stage = Arc::new(Stage::new(settings));
        let open = OpenConnections::default();
        let doorway = Doorway::new(incoming, open.clone());
        let doors = Router::new()
            .nest("/_simulator", control_door::routes())
            .fallback(front_door::answer)
            .layer(from_fn_with_state(Arc::clone(&stage), close_unless_kept_alive))
            .with_state(Arc::clone(&stage))
            .into_make_service_with_connect_info::<Connection>();
        let server = tokio::spawn(async move {
            // "Although this future resolves to `io::Result<()>`, it will never actually complete
            // or return an error" (axum::serve).
            let _ = axum::serve(doorway, doors).await;
        });
        Self { stage, address, open, server }
    }

    /// What to give to a client as its endpoint URL, of Lightsail and of STS.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a bucket with chosen keys into it.
    pub fn seed(&self, seed: Seed) -> Result<(), SeedError> {
        self.stage.seed(seed)
    }

    /// Adds a Region of Lightsail, or changes who can use one that is there. Buckets and keys stay.
    pub fn region(&self, region: Region) -> Result<(), RegionError> {
        self.stage.region(region)
    }

    /// Puts a role into it, for callers to assume.
    pub fn role(&self, role: Role) -> Result<(), RoleError> {
        self.stage.role(role)
    }

    /// Has something go wrong, behind the scripts that wait already.
    pub fn script(&self, script: Script) -> Result<(), ScriptError> {
        self.stage.script(script)
    }

    /// Has nothing go wrong any more: forgets the scripts. What they began, such as an answer that
    /// is held up or an operation that is pending, goes on.
    pub fn clear_scripts(&self) {
        self.stage.clear_scripts();
    }

    /// The requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.stage.seen().entries().to_vec()
    }

    /// The ids of the keys that the bucket really has, whatever a list may tell; `None` if there
    /// is no such bucket.
    pub fn keys(&self, account: &str, region: &str, bucket: &str) -> Option<Vec<String>> {
        self.stage.world().keys(account, region, bucket)
    }

    /// The account of callers that do not name one by their access key id.
    pub fn account(&self) -> &str {
        &self.stage.settings.account
    }

    /// Forgets buckets, operations, roles, sessions, scripts and requests. Regions are as the
    /// settings have them.
    pub fn reset(&self) {
        self.stage.reset();
    }
}

/// hyper ends a connection after an answer that says so, and dates an answer only if it has no date. SDKs
/// correct their clocks by the date.
async fn close_unless_kept_alive(State(stage): State<Arc<Stage>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let date = clock::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(DATE, date);
    }
    if !stage.settings.keep_alive {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
        self.open.cut_all();
    }
}
