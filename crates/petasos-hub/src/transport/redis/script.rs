//! The scripts that run in the server, and the keys of a log. All keys have one hash tag, so that a cluster keeps them in
//! one slot and a script may touch all of them.

use redis::{Cmd, RedisResult, Script, ToRedisArgs, Value, aio::MultiplexedConnection};

use super::error::{Remedy, remedy};

/// The keys of one log.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The stream: the log itself. The first part of an entry's id is the position.
    pub(super) log: String,
    /// Hash: head, floor, what is kept.
    pub(super) state: String,
    /// Hash: event id → position of its earliest event, and of its latest where there are several.
    pub(super) ids: String,
    /// Hash: position → the next one with the same event id.
    again: String,
    /// Hash: subscription → its record.
    pub(super) subscriptions: String,
    /// Sorted set: node and subscription, to find those of a node.
    held: String,
    /// Sorted set: node → when its lease runs out, by the server's clock.
    nodes: String,
    /// Hash: node → the renewal with which its lease began.
    since: String,
    /// Hash: writer → its newest groups and what became of them.
    writers: String,
}

impl Keys {
    /// Those of the log with this prefix.
    pub(super) fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Self {
            log: key("log"),
            state: key("state"),
            ids: key("ids"),
            again: key("again"),
            subscriptions: key("subscriptions"),
            held: key("held"),
            nodes: key("nodes"),
            since: key("since"),
            writers: key("writers"),
        }
    }

    fn all(&self) -> [&str; 9] {
        [
            &self.log,
            &self.state,
            &self.ids,
            &self.again,
            &self.subscriptions,
            &self.held,
            &self.nodes,
            &self.since,
            &self.writers,
        ]
    }
}

/// One script.
#[derive(Debug)]
pub(super) struct Program {
    script: Script,
    source: &'static str,
}

impl Program {
    fn new(source: &'static str) -> Self {
        Self { script: Script::new(source), source }
    }

    /// Runs it by its hash; the server may have forgotten it.
    pub(super) fn call(&self, keys: &Keys, size: usize) -> Cmd {
        let mut command = Cmd::with_capacity(16, size + 256);
        command.arg("EVALSHA").arg(self.script.get_hash());
        Self::keys(command, keys)
    }

    /// Runs it with its text, which the server remembers from then on.
    pub(super) fn eval(&self, keys: &Keys, size: usize) -> Cmd {
        let mut command = Cmd::with_capacity(16, self.source.len() + size + 512);
        command.arg("EVAL").arg(self.source);
        Self::keys(command, keys)
    }

    /// Runs it with these arguments, and is the one to tell the server what it is if need be.
    pub(super) async fn run(
        &self,
        keys: &Keys,
        arguments: &[impl ToRedisArgs],
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Value> {
        let mut command = self.call(keys, 0);
        command.arg(arguments);
        match command.query_async(connection).await {
            Err(error) if remedy(&error) == Remedy::Load => {
                let mut command = self.eval(keys, 0);
                command.arg(arguments);
                command.query_async(connection).await
            }
            answer => answer,
        }
    }

    /// Its text.
    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    fn keys(mut command: Cmd, keys: &Keys) -> Cmd {
        let all = keys.all();
        command.arg(all.len());
        for key in all {
            command.arg(key);
        }
        command
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) append: Program,
    pub(super) settle: Program,
    pub(super) maintain: Program,
    pub(super) page: Program,
    pub(super) list: Program,
    pub(super) renew: Program,
    pub(super) expired: Program,
}

impl Programs {
    pub(super) fn new() -> Self {
        Self {
            append: Program::new(concat!(
                include_str!("script/common.lua"),
                include_str!("script/append.lua")
            )),
            settle: Program::new(concat!(
                include_str!("script/common.lua"),
                include_str!("script/settle.lua")
            )),
            maintain: Program::new(concat!(
                include_str!("script/common.lua"),
                include_str!("script/maintain.lua")
            )),
            page: Program::new(concat!(include_str!("script/common.lua"), include_str!("script/page.lua"))),
            list: Program::new(concat!(include_str!("script/common.lua"), include_str!("script/list.lua"))),
            renew: Program::new(concat!(include_str!("script/common.lua"), include_str!("script/renew.lua"))),
            expired: Program::new(concat!(
                include_str!("script/common.lua"),
                include_str!("script/expired.lua")
            )),
        }
    }
}
