//! The decisions in a small world of their own: an API server with one configuration and its Jobs, a Job controller, a
//! kubelet, people who change their minds, and an operator that crashes between any two writes.
//!
//! Whatever happens, no two agents are on the node at any time, no result is lost, and when everybody has calmed down
//! the node is what the configuration says, or clean.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::api::agent::{AgentAction, AgentSummary, InterfaceOutcome, Reason};
use crate::api::multinic::{MultiNicNodeConfig, State};
use crate::controllers::multinic::observe::{AgentJob, AgentPod, JobPhase, Observed};
use crate::controllers::multinic::plan::{JobRef, Plan, Try, plan};
use crate::controllers::multinic::validate::validate;
use crate::controllers::multinic::{Settings, labels, status};

use super::fixtures::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    /// The operator looks, and crashes after so many writes.
    Reconcile { writes: usize },
    /// The Job controller makes the Pod of a Job.
    Start,
    /// The agent does its work: well, or not.
    Finish { well: bool },
    /// The kubelet has stopped the Pods of Jobs that are being deleted.
    Reap,
    /// Somebody deletes the Job.
    DeleteJob,
    /// Somebody changes the spec.
    Change,
    /// Somebody deletes the configuration.
    Delete,
    /// Somebody creates it again.
    Create,
    /// Time passes.
    Wait { seconds: i64 },
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Reconcile { writes: usize::MAX }),
        4 => (0usize..6).prop_map(|writes| Action::Reconcile { writes }),
        4 => Just(Action::Start),
        4 => any::<bool>().prop_map(|well| Action::Finish { well }),
        3 => Just(Action::Reap),
        1 => Just(Action::DeleteJob),
        1 => Just(Action::Change),
        1 => Just(Action::Delete),
        1 => Just(Action::Create),
        2 => (1i64..900).prop_map(|seconds| Action::Wait { seconds }),
    ]
}

/// What the agents have made of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OnNode {
    Clean,
    Configured { uid: String, generation: i64 },
}

struct World {
    now: Timestamp,
    config: Option<MultiNicNodeConfig>,
    jobs: Vec<AgentJob>,
    pods: Vec<AgentPod>,
    /// Jobs that have been there, to know the Pods they leave behind.
    past: Vec<AgentJob>,
    /// Jobs whose outcome a status has told, even if the status tells of a later try by now.
    told: Vec<String>,
    on_node: OnNode,
    created: u32,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            now: now(),
            config: None,
            jobs: Vec::new(),
            pods: Vec::new(),
            past: Vec::new(),
            told: Vec::new(),
            on_node: OnNode::Clean,
            created: 0,
        };
        world.create();
        world
    }

    fn happen(&mut self, action: &Action) {
        match action {
            Action::Reconcile { writes } => self.reconcile(*writes),
            Action::Start => self.start(),
            Action::Finish { well } => self.finish(*well),
            Action::Reap => self.reap(),
            Action::DeleteJob => self.jobs.truncate(self.jobs.len().saturating_sub(1)),
            Action::Change => self.change(),
            Action::Delete => self.delete(),
            Action::Create => self.create(),
            Action::Wait { seconds } => {
                self.now = self.now.saturating_add(SignedDuration::from_secs(*seconds)).unwrap();
            }
        }
        let running: Vec<_> = self.pods.iter().filter(|pod| !pod.ended).map(|pod| &pod.name).collect();
        assert!(running.len() <= 1, "two agents on one node after {action:?}: {running:?}");
    }

    fn create(&mut self) {
        if self.config.is_none() {
            self.created += 1;
            let mut config = config();
            config.metadata.uid = Some(format!("uid-{}", self.created));
            self.config = Some(config);
        }
    }

    fn change(&mut self) {
        if let Some(config) = self.config.as_mut() {
            let generation = config.metadata.generation.as_mut().unwrap();
            *generation += 1;
            config.spec.interfaces[0].mtu = Some(1300 + i32::try_from(*generation % 100).unwrap());
        }
    }

    fn delete(&mut self) {
        let Some(config) = self.config.as_mut().filter(|config| config.metadata.deletion_timestamp.is_none()) else {
            return;
        };
        config.metadata.deletion_timestamp = Some(Time(self.now));
        *config.metadata.generation.as_mut().unwrap() += 1;
        self.forget_if_unheld();
    }

    /// What the API server and its garbage collector do with a deleted object that nobody holds.
    fn forget_if_unheld(&mut self) {
        let unheld = |config: &MultiNicNodeConfig| {
            config.metadata.deletion_timestamp.is_some() && config.metadata.finalizers.iter().flatten().next().is_none()
        };
        if self.config.as_ref().is_some_and(unheld) {
            let uid = self.config.take().unwrap().metadata.uid.unwrap();
            self.jobs.retain(|job| job.config_uid != uid || job.action == AgentAction::Cleanup);
        }
    }

    fn start(&mut self) {
        let waiting = self.jobs.iter().find(|job| {
            job.phase == JobPhase::Active && !job.leaving && !self.pods.iter().any(|pod| pod.job_uid == job.uid)
        });
        if let Some(job) = waiting {
            self.pods.push(running_pod(job));
        }
    }

    fn finish(&mut self, well: bool) {
        let Some(pod) = self.pods.iter_mut().find(|pod| !pod.ended) else { return };
        let job = self.past.iter().find(|job| job.uid == pod.job_uid).unwrap().clone();
        let (outcome, reason) = if well {
            (InterfaceOutcome::Configured, Reason::Applied)
        } else {
            (InterfaceOutcome::Failed, Reason::LinkNotFound)
        };
        let summary = AgentSummary {
            action: job.action,
            config_uid: job.config_uid.clone(),
            generation: job.generation,
            interfaces: match job.action {
                AgentAction::Cleanup => Vec::new(),
                _ => report(&[1, 2, 3].map(|id| (id, outcome, reason, "so it is"))).interfaces,
            },
            ..all_configured()
        };
        *pod = ended_pod(&job, i32::from(!well), &text(&summary));
        if well {
            self.on_node = match job.action {
                AgentAction::Cleanup => OnNode::Clean,
                _ => OnNode::Configured { uid: job.config_uid.clone(), generation: job.generation },
            };
        }
        if let Some(job) = self.jobs.iter_mut().find(|other| other.uid == job.uid) {
            job.phase = if well { JobPhase::Complete } else { failed() };
        }
    }

    fn reap(&mut self) {
        let staying: Vec<_> = self.jobs.iter().filter(|job| !job.leaving).map(|job| job.uid.clone()).collect();
        self.pods.retain(|pod| staying.contains(&pod.job_uid));
        self.jobs.retain(|job| !job.leaving);
    }

    fn observe(&self) -> Option<Observed> {
        let config = self.config.clone()?;
        Some(Observed { config, node: Some(node()), jobs: self.jobs.clone(), pods: self.pods.clone(), rival: None })
    }

    /// Carries out a plan as `apply` does, up to a crash.
    fn reconcile(&mut self, mut writes: usize) {
        let Some(observed) = self.observe() else { return };
        let Plan { hold, stop, create, progress, discard, release, wake: _ } =
            plan(&observed, validate(&observed), &Settings::default(), self.now);
        let mut survive = || {
            let alive = writes > 0;
            writes = writes.saturating_sub(1);
            alive
        };
        if hold {
            if !survive() {
                return;
            }
            self.config.as_mut().unwrap().metadata.finalizers = Some(vec![labels::FINALIZER.to_owned()]);
        }
        for job in stop {
            if !survive() {
                return;
            }
            self.jobs.iter_mut().filter(|other| other.uid == job.uid).for_each(|job| job.leaving = true);
        }
        if let Some(order) = create {
            if !survive() {
                return;
            }
            let config = self.config.as_ref().unwrap();
            let name = order.job_name(config);
            if self.jobs.iter().all(|job| job.name != name) {
                let job = AgentJob {
                    uid: format!("job-{}", self.past.len()),
                    name,
                    config_uid: config.metadata.uid.clone().unwrap(),
                    generation: config.metadata.generation.unwrap(),
                    action: order.action,
                    attempt: order.attempt,
                    ..job(JobPhase::Active)
                };
                self.past.push(job.clone());
                self.jobs.push(job);
            }
        }
        if let Some(status) = status::render(&observed.config, &progress, self.now) {
            if !survive() {
                return;
            }
            if status.state != Some(State::InProgress) {
                self.told.extend(status.last_job_name.clone());
            }
            self.config.as_mut().unwrap().status = Some(status);
        }
        for job in discard {
            if !survive() {
                return;
            }
            self.discard(&job);
        }
        if release.is_some() {
            if !survive() {
                return;
            }
            self.config.as_mut().unwrap().metadata.finalizers = None;
            self.forget_if_unheld();
        }
    }

    fn discard(&mut self, job: &JobRef) {
        let Some(index) = self.jobs.iter().position(|other| other.uid == job.uid) else { return };
        let job = self.jobs.remove(index);
        if let Some(config) = &self.config {
            let own = config.metadata.uid.as_deref() == Some(&job.config_uid);
            let current =
                config.metadata.generation == Some(job.generation) && config.metadata.deletion_timestamp.is_none();
            assert!(
                !own || !current || self.told.contains(&job.name),
                "{} is removed before its result is told",
                Try::from(&job).job
            );
        }
        assert_ne!(job.phase, JobPhase::Active, "{} is removed while its agent may run", job.name);
    }

    /// Everybody does what they should, until nothing is left to do.
    fn calm_down(&mut self) {
        for _ in 0..40 {
            for action in [
                Action::Reconcile { writes: usize::MAX },
                Action::Start,
                Action::Finish { well: true },
                Action::Reconcile { writes: usize::MAX },
                Action::Reap,
                Action::Wait { seconds: 900 },
            ] {
                self.happen(&action);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_node_ends_as_it_is_asked_for(actions in prop::collection::vec(actions(), 0..60)) {
        let mut world = World::new();
        for action in &actions {
            world.happen(action);
        }
        world.calm_down();
        prop_assert_eq!(&world.jobs, &[], "no Job is left");
        match &world.config {
            None => prop_assert_eq!(&world.on_node, &OnNode::Clean),
            Some(config) => {
                let status = config.status.clone().unwrap();
                prop_assert_eq!(status.state, Some(State::Configured));
                prop_assert_eq!(status.observed_generation, config.metadata.generation);
                prop_assert!(status.interface_statuses.iter().all(|entry| entry.status == State::Configured));
                let (uid, generation) = (config.metadata.uid.clone().unwrap(), config.metadata.generation.unwrap());
                prop_assert_eq!(&world.on_node, &OnNode::Configured { uid, generation });
            }
        }
    }
}
