//! dagrs: a graph of nodes, each a task of the runtime; channels along the edges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::dagrs::{
    Action, Content, DefaultNode, EnvVar, Graph, InChannels, Node, NodeId, NodeTable, OutChannels, Output, async_trait,
};

use crate::{Before, Case, Contender, Runs, work};

pub(crate) fn contenders() -> [Contender; 2] {
    [
        Contender {
            name: "dagrs",
            timed: "async_start; the graph is built once, and reset before each run",
            prepare: |case| Ok(runs(case, Before::Untimed)),
        },
        Contender {
            name: "dagrs, reset",
            timed: "reset, without which a graph does not run again, and async_start",
            prepare: |case| Ok(runs(case, Before::Timed)),
        },
    ]
}

/// All nodes of a graph start together: what makes them a chain is that each waits for what the one before it sends.
struct Step {
    after: Option<NodeId>,
}

#[async_trait::async_trait]
impl Action for Step {
    async fn run(&self, input: &mut InChannels, output: &mut OutChannels, _: Arc<EnvVar>) -> Output {
        if let Some(before) = &self.after {
            input.recv_from(before).await.expect("the step before sends");
        }
        match work() {
            Ok(()) => output.broadcast(Content::new(())).await,
        };
        Output::empty()
    }
}

fn runs(case: Case, before: Before) -> Runs {
    Box::new(move |runs| {
        Box::pin(async move {
            let mut graph = graph(case);
            let mut took = Duration::ZERO;
            for _ in 0..runs {
                let mut start = Instant::now();
                graph.reset().await.expect("a graph that ended");
                if before == Before::Untimed {
                    start = Instant::now();
                }
                graph.async_start().await.expect("nothing fails");
                took += start.elapsed();
            }
            took
        })
    })
}

fn graph(case: Case) -> Graph {
    let mut names = NodeTable::new();
    let mut graph = Graph::new();
    let mut last = None;
    for at in 0..case.steps() {
        let after = if let Case::Chain(_) = case { last } else { None };
        let node = DefaultNode::with_action(format!("step {at}"), Step { after }, &mut names);
        let id = node.id();
        graph.add_node(node).expect("no other node of that name");
        if let Some(before) = after {
            graph.add_edge(before, [id]).expect("both are nodes of the graph");
        }
        last = Some(id);
    }
    graph.set_env(EnvVar::new(names));
    graph
}
