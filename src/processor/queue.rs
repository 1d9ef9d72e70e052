//! The order in which jobs leave a lane: tenants take turns by weight, each tenant's dispatches take turns,
//! one notification each. So neither a giant event starves a small one nor a large tenant another.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fair::{Round, Stride};
use super::job::{Job, Work};
use super::standing::Standing;
use crate::domain::TenantId;

/// What waits in a lane.
#[derive(Default)]
pub(super) struct Queue {
    round: Round,
    classes: Vec<Class>,
    /// Nobody else is served.
    alone: Option<Arc<Work>>,
}

/// The jobs of one tenant that go out as one identity; gone when there are none.
struct Class {
    tenant: Option<TenantId>,
    standing: Arc<Standing>,
    weight: f64,
    stride: Stride,
    /// The relay refuses the identity: its jobs wait.
    held: bool,
    turns: VecDeque<Turn>,
}

struct Turn {
    work: Arc<Work>,
    jobs: VecDeque<Job>,
}

impl Queue {
    /// Appends jobs of one dispatch; whether they may be served now.
    pub(super) fn push(&mut self, standing: &Arc<Standing>, jobs: Vec<Job>) -> bool {
        let Some(work) = jobs.first().map(|job| Arc::clone(&job.work)) else {
            return true;
        };
        let class = self.class(standing, &work);
        match class.turns.iter_mut().find(|t| Arc::ptr_eq(&t.work, &work)) {
            Some(turn) => turn.jobs.extend(jobs),
            None => class.turns.push_back(Turn {
                work,
                jobs: jobs.into(),
            }),
        }
        !class.held
    }

    fn class(&mut self, standing: &Arc<Standing>, work: &Work) -> &mut Class {
        let known = self.classes.iter().position(|c| c.is(standing, work));
        let index = known.unwrap_or_else(|| {
            self.classes.push(Class {
                tenant: work.plan.tenant.clone(),
                standing: Arc::clone(standing),
                weight: work.weight,
                stride: Stride::new(&self.round, work.weight),
                held: standing.breaker.closed_for().is_some(),
                turns: VecDeque::new(),
            });
            self.classes.len() - 1
        });
        &mut self.classes[index]
    }

    /// The class whose turn it is.
    fn index(&self) -> Option<usize> {
        let classes = self.classes.iter().enumerate();
        let served = classes.filter(|(_, class)| !class.held && self.may(class));
        let next = served.min_by(|(_, a), (_, b)| a.stride.pass.total_cmp(&b.stride.pass));
        next.map(|(index, _)| index)
    }

    fn may(&self, class: &Class) -> bool {
        self.alone.as_ref().is_none_or(|work| class.turn(work).is_some())
    }

    /// The job that is next.
    pub(super) fn peek(&self) -> Option<&Job> {
        self.classes[self.index()?].turns.front()?.jobs.front()
    }

    /// Takes the job that is next.
    pub(super) fn next(&mut self) -> Option<Job> {
        let index = self.index()?;
        let class = &mut self.classes[index];
        let turn = match &self.alone {
            Some(work) => class.turn(work)?,
            None => 0,
        };
        let mut turn = class.turns.remove(turn)?;
        let job = turn.jobs.pop_front();
        if !turn.jobs.is_empty() {
            class.turns.push_back(turn);
        }
        class.stride.served(&mut self.round);
        if class.turns.is_empty() {
            self.classes.swap_remove(index);
        }
        job
    }

    /// Takes out all that waits of one start of a dispatch; whether it could have been served.
    pub(super) fn remove(&mut self, work: &Arc<Work>) -> (Vec<Job>, bool) {
        for index in 0..self.classes.len() {
            let class = &mut self.classes[index];
            let Some(turn) = class.turn(work).and_then(|turn| class.turns.remove(turn)) else {
                continue;
            };
            let served = !class.held;
            if class.turns.is_empty() {
                self.classes.swap_remove(index);
            }
            return (turn.jobs.into(), served);
        }
        (Vec::new(), true)
    }

    /// How many jobs of one start of a dispatch wait.
    pub(super) fn count(&self, work: &Arc<Work>) -> usize {
        let turns = self.classes.iter().flat_map(|class| &class.turns);
        turns
            .filter(|t| Arc::ptr_eq(&t.work, work))
            .map(|t| t.jobs.len())
            .sum()
    }

    /// Holds the jobs of an identity back, or serves them again; how many changed sides.
    pub(super) fn hold(&mut self, standing: &Arc<Standing>, held: bool) -> usize {
        let classes = self.classes.iter_mut();
        let changed = classes.filter(|c| c.held != held && Arc::ptr_eq(&c.standing, standing));
        changed
            .map(|class| {
                class.held = held;
                class.stride.wake(&self.round, class.weight);
                class.len()
            })
            .sum()
    }

    /// Nobody but this work is served, or everybody.
    pub(super) fn set_alone(&mut self, work: Option<Arc<Work>>) {
        self.alone = work;
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// How many jobs wait that no refused identity holds back.
    pub(super) fn served(&self) -> usize {
        self.classes.iter().filter(|c| !c.held).map(Class::len).sum()
    }

    /// Of all tenants that could be served.
    pub(super) fn weight(&self) -> f64 {
        self.classes.iter().filter(|c| !c.held).map(|c| c.weight).sum()
    }
}

impl Class {
    fn is(&self, standing: &Arc<Standing>, work: &Work) -> bool {
        Arc::ptr_eq(&self.standing, standing) && self.tenant == work.plan.tenant
    }

    fn turn(&self, work: &Arc<Work>) -> Option<usize> {
        self.turns.iter().position(|t| Arc::ptr_eq(&t.work, work))
    }

    fn len(&self) -> usize {
        self.turns.iter().map(|turn| turn.jobs.len()).sum()
    }
}
