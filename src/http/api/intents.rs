//! Flushes and NOTIFYs over the fleet: each node is asked to do its share, and what became of it is told together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::asked::Asked;
use crate::fleet::ask::{Intent, Unanswered};
use crate::fleet::intent::{Chosen, Part, Work};
use crate::fleet::nodes::Node;
use crate::flush::{self, AUDIT, Failure, FailureKind};
use crate::http::App;
use crate::http::error::Error;
use crate::notify::{Outcome, Request};
use crate::registration::{NodeState, Registration};

/// What one node is to do, and what of it is for whoever asked.
struct Share<T> {
    node: String,
    work: Work,
    /// What there is to be told of it: addresses of record, or places in the answer.
    about: Vec<T>,
}

/// Has the nodes flush what was chosen.
pub(super) async fn flush(
    app: Arc<App>,
    asked: Asked,
    requests: Vec<flush::Request>,
) -> Result<flush::Outcome, Error> {
    let mut shares: BTreeMap<String, Share<Arc<Registration>>> = BTreeMap::new();
    for request in &requests {
        let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
        for one in &request.registrations {
            let name = node_of(one);
            let part = parts.entry(name).or_insert_with(|| Part {
                actor: request.actor.clone(),
                exactly: request.exactly,
                rows: Vec::new(),
            });
            part.rows.push(Chosen::of(one));
            let share = shares.entry(name.to_owned()).or_insert_with(|| Share {
                node: name.to_owned(),
                work: Work::Flush(Vec::new()),
                about: Vec::new(),
            });
            share.about.push(Arc::clone(one));
        }
        for (name, part) in parts {
            if let Some(Work::Flush(all)) = shares.get_mut(name).map(|share| &mut share.work) {
                all.push(part);
            }
        }
    }
    let shares = shares.into_values().collect();
    let answers = carry_out::<_, flush::Outcome>(&app, &asked, shares).await?;
    let mut outcome = flush::Outcome::default();
    for (node, about, answer) in answers {
        match answer {
            Ok(of_node) => {
                outcome.flushed += of_node.flushed;
                let failed = of_node.failed.into_iter();
                outcome.failed.extend(failed.map(|failure| Failure {
                    node: Some(node.clone()),
                    ..failure
                }));
            }
            Err(reason) => outcome.failed.extend(none_of(&about, &node, &reason)),
        }
    }
    // Of several accounts there is one line.
    let is_one = requests.len() == 1;
    if let Some(flush::Request { actor, .. }) = requests.into_iter().next() {
        tracing::info!(
            target: AUDIT,
            token = actor.token,
            client = actor.client,
            request_id = actor.request_id,
            account = actor.account_id.filter(|_| is_one),
            username = actor.username,
            filters = actor.filters,
            flushed = outcome.flushed,
            failed = outcome.failed.len(),
            "had nodes of the fleet flush registrations"
        );
    }
    Ok(outcome)
}

/// Has the nodes ask their phones; the outcomes are in the order of the registrations.
pub(super) async fn notify(
    app: Arc<App>,
    asked: Asked,
    request: Request,
) -> Result<Vec<Outcome>, Error> {
    let mut parts: BTreeMap<&str, (Part, Vec<usize>)> = BTreeMap::new();
    for (place, one) in request.registrations.iter().enumerate() {
        let (part, places) = parts.entry(node_of(one)).or_insert_with(|| {
            let part = Part {
                actor: request.actor.clone(),
                exactly: true,
                rows: Vec::new(),
            };
            (part, Vec::new())
        });
        part.rows.push(Chosen::of(one));
        places.push(place);
    }
    let event = request.event.to_string();
    let share = |(node, (part, about)): (&str, _)| Share {
        node: node.to_owned(),
        work: Work::Notify {
            event: event.clone(),
            part,
        },
        about,
    };
    let shares = parts.into_iter().map(share).collect();
    let answers = carry_out::<_, Vec<Outcome>>(&app, &asked, shares).await?;
    let unknown = || Outcome::Failed(Unanswered::Unknown.to_string());
    let mut outcomes: Vec<_> = request.registrations.iter().map(|_| unknown()).collect();
    for (node, places, answer) in answers {
        let mut of_node = match answer {
            Ok(of_node) => of_node.into_iter(),
            Err(reason) => {
                let reason = format!("{node}: {reason}");
                let failed = Outcome::Failed(reason);
                vec![failed; places.len()].into_iter()
            }
        };
        for place in places {
            outcomes[place] = of_node.next().unwrap_or_else(unknown);
        }
    }
    let accepted = outcomes.iter().filter(|one| one.is_accepted()).count();
    let actor = request.actor;
    tracing::info!(
        target: AUDIT,
        token = actor.token,
        client = actor.client,
        request_id = actor.request_id,
        account = actor.account_id,
        username = actor.username,
        filters = actor.filters,
        event,
        notified = accepted,
        failed = outcomes.len() - accepted,
        "had nodes of the fleet notify phones"
    );
    Ok(outcomes)
}

/// Asks each node for its share, and waits: by node what the share was about, and what became of it.
async fn carry_out<T, O: DeserializeOwned>(
    app: &App,
    asked: &Asked,
    shares: Vec<Share<T>>,
) -> Result<Vec<(String, Vec<T>, Result<O, String>)>, Error> {
    let (mut answers, mut intents, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for share in shares {
        match reachable(asked, &share.node) {
            Ok(node) => {
                intents.push(Intent {
                    node: node.row.id.clone(),
                    work: share.work,
                });
                open.push((share.node, share.about));
            }
            Err(why) => answers.push((share.node, share.about, Err(why.to_string()))),
        }
    }
    if intents.is_empty() {
        return Ok(answers);
    }
    let App { clock, metrics, .. } = app;
    let ids = asked.fleet.ask(&intents, metrics).await;
    let ids = ids.map_err(|error| asked.not_written(&error))?;
    let outcomes = asked.fleet.outcomes(&ids, &**clock, metrics).await;
    for ((node, about), outcome) in open.into_iter().zip(outcomes) {
        let answer = match outcome {
            Ok(outcome) => serde_json::from_str::<Result<O, String>>(&outcome)
                .unwrap_or_else(|_| Err(Unanswered::Unknown.to_string())),
            Err(why) => Err(why.to_string()),
        };
        answers.push((node, about, answer));
    }
    Ok(answers)
}

/// The node, unless it is known that it will not answer.
fn reachable<'a>(asked: &'a Asked, name: &str) -> Result<&'a Node, Unanswered> {
    let mut all = asked.nodes.all().iter();
    let node = all.find(|node| *node.row.name == *name);
    let node = node.ok_or(Unanswered::Unknown)?;
    match node.state {
        NodeState::Lost => Err(Unanswered::Silent(node.row.silent)),
        NodeState::Stopped => Err(Unanswered::Stopped(node.row.silent)),
        NodeState::Live | NodeState::Restarting | NodeState::Stale => Ok(node),
    }
}

/// The name of the node that has the registration.
fn node_of(one: &Registration) -> &str {
    one.common.node.as_ref().map_or("", |node| &node.name)
}

/// For each address of record of a node, why it is not known to be flushed.
fn none_of<'a>(
    about: &[Arc<Registration>],
    node: &'a str,
    reason: &'a str,
) -> impl Iterator<Item = Failure> + use<'a> {
    let aors = about.iter().map(|one| {
        let aor = one.binding.address_of_record();
        aor.name().clone()
    });
    let aors: BTreeSet<_> = aors.collect();
    aors.into_iter().map(move |aor| Failure {
        aor,
        reason: reason.to_owned(),
        kind: FailureKind::Unconfirmed,
        node: Some(node.to_owned()),
    })
}
