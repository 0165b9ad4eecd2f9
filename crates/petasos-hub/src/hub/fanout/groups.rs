//! Which subscribers get the same events in a round. They are sent the same bytes, so those are put together once.
//!
//! What a subscriber gets in a round is a list of events in their order. The lists are kept as a tree: a node is a list,
//! its parent the same list without its last event. Adding an event to a list is a step to a child, the same child for
//! everybody who stands at the same node, so that in the end those with equal lists stand at one node. A step costs a few
//! instructions, and there is no list to compare.

/// The node of the empty list.
pub(super) const NOTHING: u32 = 0;

/// See the module.
#[derive(Debug)]
pub(super) struct Groups {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    /// The last event of the list.
    event: u32,
    /// The child for the event that is looked at now, if there is one.
    child: u32,
    child_event: u32,
}

impl Groups {
    /// No lists but the empty one.
    pub(super) fn new() -> Self {
        let mut groups = Self { nodes: Vec::new() };
        groups.clear();
        groups
    }

    /// Forgets a round.
    pub(super) fn clear(&mut self) {
        /// What is kept for the next round.
        const NODES: usize = 4_096;
        self.nodes.clear();
        self.nodes.shrink_to(NODES);
        self.nodes.push(Node { parent: NOTHING, event: 0, child: NOTHING, child_event: 0 });
    }

    /// The list at `node`, and `event` after it. Events come in their order.
    pub(super) fn add(&mut self, node: u32, event: u32) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let Some(parent) = self.nodes.get_mut(node as usize) else { return node };
        if parent.child != NOTHING && parent.child_event == event {
            return parent.child;
        }
        (parent.child, parent.child_event) = (next, event);
        self.nodes.push(Node { parent: node, event, child: NOTHING, child_event: 0 });
        next
    }

    /// Puts the list at `node` into `events`.
    pub(super) fn list(&self, mut node: u32, events: &mut Vec<usize>) {
        events.clear();
        while node != NOTHING
            && let Some(at) = self.nodes.get(node as usize)
        {
            events.push(at.event as usize);
            node = at.parent;
        }
        events.reverse();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_lists_are_one_node_and_different_ones_are_not(
            rounds in prop::collection::vec(prop::collection::vec(any::<[bool; 6]>(), 0..20), 1..4),
        ) {
            let mut groups = Groups::new();
            for hits in rounds {
                groups.clear();
                let mut nodes = [NOTHING; 6];
                let mut lists = vec![Vec::new(); 6];
                for (event, hits) in hits.iter().enumerate() {
                    for (subscriber, _) in hits.iter().enumerate().filter(|(_, hit)| **hit) {
                        nodes[subscriber] = groups.add(nodes[subscriber], event as u32);
                        lists[subscriber].push(event);
                    }
                }
                let mut list = Vec::new();
                for one in 0..6 {
                    groups.list(nodes[one], &mut list);
                    prop_assert_eq!(&list, &lists[one]);
                    for other in 0..6 {
                        prop_assert_eq!(nodes[one] == nodes[other], lists[one] == lists[other]);
                    }
                }
            }
        }
    }
}
