//! A gateway whose rules are objects of a real cluster: what the layers `apiserver` and `recovery` start from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
    runtime::wait::await_condition,
};
use natgw_userspace::core::objects::Kind;
use serde_json::Value;

use crate::{
    Cluster, Daemon, Gateway, Rules, Tally, Topology, clock, daemon::PATIENCE, drops::Drops, maps::MapDump, scratch,
};

/// Requests of a test that are under way at a time.
const AT_A_TIME: usize = 16;

/// Kind and name.
pub type Key = (Kind, String);

/// The objects of one gateway in a cluster that other tests may share.
pub struct Objects<'a> {
    cluster: &'a Cluster,
    gateway: String,
    applied: BTreeMap<Key, Value>,
    rules: Rules,
}

impl<'a> Objects<'a> {
    /// No object yet.
    #[must_use]
    pub fn new(cluster: &'a Cluster, gateway: &str) -> Self {
        Self { cluster, gateway: gateway.to_owned(), applied: BTreeMap::new(), rules: Rules::new() }
    }

    /// Makes the objects of `rules`, changes those that differ, deletes those that are not in them.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn set(&mut self, rules: &Rules) {
        self.write(rules, |_, _| true);
    }

    /// As [`Self::set`], but leaves alone what was written before as it is now wanted: for many small changes. What
    /// somebody else has changed or deleted is not put back.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn change(&mut self, rules: &Rules) {
        self.write(rules, |before, wanted| before != Some(wanted));
    }

    /// What was written last.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn write(&mut self, rules: &Rules, due: impl Fn(Option<&Value>, &Value) -> bool) {
        let objects = parse(&rules.yaml_for(&self.gateway));
        let due = objects.iter().filter(|(key, object)| due(self.applied.get(key), object));
        self.cluster.block_on(async {
            let writes = due.map(|(key, object)| apply(self.cluster, key, object));
            let mut writes = futures::stream::iter(writes).buffer_unordered(AT_A_TIME);
            while writes.next().await.is_some() {}
        });
        self.rules = rules.clone();
        let before = std::mem::replace(&mut self.applied, objects);
        let gone: Vec<&Key> = before.keys().filter(|key| !self.applied.contains_key(key)).collect();
        self.cluster.block_on(async {
            let deletions = gone.iter().map(|(kind, name)| async {
                // Some test deletes objects by itself.
                let _ = api(self.cluster, *kind).delete(name, &DeleteParams::default()).await;
            });
            let mut deletions = futures::stream::iter(deletions).buffer_unordered(AT_A_TIME);
            while deletions.next().await.is_some() {}
        });
    }

    /// The name that the object called `name` in [`Rules`] has here.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.gateway)
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn delete(&self, kind: Kind, name: &str) {
        let deleted =
            self.cluster.block_on(async { api(self.cluster, kind).delete(name, &DeleteParams::default()).await });
        deleted.unwrap_or_else(|error| panic!("cannot delete {kind}/{name}: {error}"));
    }

    /// Merges `patch` into an object.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn patch(&self, kind: Kind, name: &str, patch: &Value) {
        let params = PatchParams::default();
        let patched =
            self.cluster.block_on(async { api(self.cluster, kind).patch(name, &params, &Patch::Merge(patch)).await });
        patched.unwrap_or_else(|error| panic!("cannot patch {kind}/{name}: {error}"));
    }

    /// The object as the API server has it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Value {
        let object = self.cluster.block_on(async { api(self.cluster, kind).get(name).await });
        let object = object.unwrap_or_else(|error| panic!("cannot read {kind}/{name}: {error}"));
        serde_json::to_value(object).expect("an object is JSON")
    }

    /// Waits until the object's condition is as `wanted` says, and returns it.
    ///
    /// # Panics
    /// When that does not come about in time; with the object as it is then.
    #[must_use]
    pub fn wait_condition(&self, kind: Kind, name: &str, condition: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let there = |object: Option<&DynamicObject>| {
            object.and_then(|object| find(&object.data, condition)).is_some_and(&wanted)
        };
        let outcome = self.cluster.block_on(async {
            tokio::time::timeout(PATIENCE, await_condition(api(self.cluster, kind), name, there)).await
        });
        match outcome {
            Ok(Ok(Some(object))) => find(&object.data, condition).cloned().expect("it was there"),
            Ok(Ok(None) | Err(_)) | Err(_) => {
                panic!("{kind}/{name}: `{condition}` did not become as wanted; it is {:#}", self.get(kind, name))
            }
        }
    }

    /// Waits until the object is said to be programmed, or not for this reason.
    ///
    /// # Panics
    /// When that does not come about in time.
    #[must_use]
    pub fn wait_programmed(&self, kind: Kind, name: &str, status: &str, reason: &str) -> Value {
        self.wait_condition(kind, name, "Programmed", |condition| {
            condition["status"] == status && condition["reason"] == reason
        })
    }

    /// Waits for an Event of this reason about an object: `type reason note`.
    ///
    /// # Panics
    /// When there is none in time.
    #[must_use]
    pub fn wait_event(&self, kind: Kind, name: &str, reason: &str) -> String {
        let find = || self.events(kind, name).into_iter().find(|event| event.split(' ').nth(1) == Some(reason));
        clock::eventually(&format!("an Event {reason} about {kind}/{name}"), PATIENCE, || find().is_some());
        find().expect("it was there")
    }

    /// The Events about an object: `type reason note`.
    ///
    /// # Panics
    /// When the API server refuses.
    #[must_use]
    pub fn events(&self, kind: Kind, name: &str) -> Vec<String> {
        use k8s_openapi::api::events::v1::Event;
        let events: Api<Event> =
            Api::namespaced(self.cluster.admin(), natgw_userspace::cluster::status::events::NAMESPACE);
        let all = self.cluster.block_on(async { events.list(&kube::api::ListParams::default()).await });
        let about = |event: &Event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|about| about.kind.as_deref() == Some(kind.name()) && about.name.as_deref() == Some(name))
        };
        let all = all.expect("Events can be listed");
        all.items
            .iter()
            .filter(|event| about(event))
            .map(|event| {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                format!("{} {} {}", text(&event.type_), text(&event.reason), text(&event.note))
            })
            .collect()
    }
}

impl Drop for Objects<'_> {
    fn drop(&mut self) {
        // The cluster may be one that a test has killed.
        let cluster = self.cluster;
        cluster.block_on(async {
            for (kind, name) in self.applied.keys() {
                let deletion = async { api(cluster, *kind).delete(name, &DeleteParams::default()).await };
                if tokio::time::timeout(Duration::from_secs(2), deletion).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The objects of a kind, as the tests' administrator sees them.
#[must_use]
pub fn api(cluster: &Cluster, kind: Kind) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kubeovn.io", "v1", kind.name()), kind.plural());
    Api::all_with(cluster.admin(), &resource)
}

/// The condition of this type in an object's status.
#[must_use]
pub fn find<'a>(object: &'a Value, condition: &str) -> Option<&'a Value> {
    object.get("status")?.get("conditions")?.as_array()?.iter().find(|one| one["type"] == condition)
}

/// Documents one by one: the YAML library has a limit for how many come together.
fn parse(yaml: &str) -> BTreeMap<Key, Value> {
    let documents = yaml.split("---\n").filter(|text| !text.trim().is_empty());
    documents
        .map(|text| {
            let object: Value =
                serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("bad YAML: {error}\n{text}"));
            let kind = object["kind"].as_str().and_then(Kind::from_name).expect("a kind of kube-ovn");
            ((kind, object["metadata"]["name"].as_str().expect("a name").to_owned()), object)
        })
        .collect()
}

async fn apply(cluster: &Cluster, (kind, name): &Key, object: &Value) {
    let params = PatchParams::apply("natgw-tests").force();
    let applied = api(cluster, *kind).patch(name, &params, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("cannot apply {kind}/{name}: {error}"));
}

/// What becomes of the pins when a sandbox is rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pins {
    /// The node was rebooted.
    Lost,
    /// The pod was made again on a node that ran on.
    Kept,
}

/// A network whose gateway follows a cluster. At its end natgw must have dropped packets only for the reasons that the test
/// has declared: by default for none.
pub struct ClusterLab<'a> {
    // In the order of their end: the process, what it left in the kernel, the objects, the namespaces.
    daemon: Option<Daemon>,
    /// The gateway's places.
    pub gateway: Gateway,
    /// Its objects.
    pub objects: Objects<'a>,
    /// The network.
    pub net: Topology,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What may be dropped.
    pub drops: Drops,
}

impl<'a> ClusterLab<'a> {
    /// `rules` as objects, and the gateway that has them in force.
    #[must_use]
    pub fn new(cluster: &'a Cluster, rules: &Rules) -> Self {
        Self::on(cluster, Topology::new(), rules, &cluster.admin_kubeconfig(), &[])
    }

    /// The same in `net`, with this kubeconfig and further arguments.
    #[must_use]
    pub fn on(cluster: &'a Cluster, net: Topology, rules: &Rules, kubeconfig: &Path, args: &[&str]) -> Self {
        let mut lab = Self::stopped(cluster, net, kubeconfig, args);
        lab.objects.set(rules);
        lab.start();
        lab
    }

    /// The same without any object, and nothing runs yet.
    #[must_use]
    pub fn stopped(cluster: &'a Cluster, net: Topology, kubeconfig: &Path, args: &[&str]) -> Self {
        install_crds(cluster);
        let name = scratch::unique_name();
        let objects = Objects::new(cluster, &name);
        let gateway = Gateway::new(&net.gw).on_cluster(&name, kubeconfig).with_args(args);
        Self { daemon: None, gateway, objects, net, cluster, drops: Drops::default() }
    }

    /// Starts a daemon (the old one is killed if it still runs) and waits until the cluster's objects are in force.
    pub fn start(&mut self) {
        // One at a time: the lock has one holder.
        self.daemon = None;
        let mut daemon = self.gateway.spawn();
        daemon.wait_ready();
        daemon.wait_complete();
        self.daemon = Some(daemon);
    }

    /// What a node's reboot does: the container is killed, its pod gets a new network namespace with new interfaces, and
    /// the pins are gone unless this is a pod that was made again on the same node.
    ///
    /// # Panics
    /// When the pins cannot be removed.
    pub fn rebuild_sandbox(&mut self, pins: Pins) {
        self.daemon = None;
        self.net.rebuild_gateway();
        self.gateway.move_to(&self.net.gw);
        if pins == Pins::Lost {
            std::fs::remove_dir_all(self.gateway.pins()).expect("pins can be removed");
        }
    }

    /// Puts a new daemon in the place of the old one, which is killed if it still runs.
    pub fn replace_daemon(&mut self, daemon: Daemon) {
        self.daemon = Some(daemon);
    }

    /// The running daemon.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("natgw runs")
    }

    /// The running daemon, to be killed.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn daemon_mut(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("natgw runs")
    }

    /// Changes the objects and waits until the maps are as `in_force` wants them.
    ///
    /// # Panics
    /// When that does not come about in time.
    pub fn set(&mut self, rules: &Rules, in_force: impl Fn(&MapDump) -> bool) {
        self.objects.set(rules);
        self.wait_maps(in_force);
    }

    /// Waits until the rule maps are as wanted. (bpffs announces nothing, so this looks again and again.)
    ///
    /// # Panics
    /// When that does not come about in time.
    pub fn wait_maps(&self, wanted: impl Fn(&MapDump) -> bool) {
        clock::eventually("the maps are as wanted", PATIENCE, || wanted(&MapDump::rules(&self.gateway)));
    }
}

impl Drop for ClusterLab<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A test that has thrown the pins away has nothing to count.
            return Tally::read(&self.gateway).iter().for_each(|tally| self.drops.assert(tally));
        }
        if let Some(daemon) = &self.daemon {
            eprintln!("the log of natgw:\n{}", daemon.logs().text());
        }
    }
}

/// The CRDs as `natgw crds` prints them.
///
/// # Panics
/// When the API server refuses them.
pub fn install_crds(cluster: &Cluster) {
    cluster.apply_yaml(&crds());
}

/// What `natgw crds` prints.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn crds() -> String {
    crate::command::run(&natgw().display().to_string(), &["crds"])
}

fn natgw() -> PathBuf {
    crate::gateway::natgw_binary()
}
