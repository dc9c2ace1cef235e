//! One connection to one Redis process. When it ends it has ended: nothing is sent twice, nothing goes on elsewhere.
//!
//! It is a fred client that may not reconnect nor retry. A WAIT that fred carried over to a new connection would
//! acknowledge writes of the old one that were never replicated.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::{
    Builder, Client, ClientLike, Config, ConnectionConfig, EventInterface, PerformanceConfig,
    PubsubInterface, Server, ServerConfig, TcpConfig,
};
use fred::types::config::Blocking;
use fred::types::{CustomCommand, Message, RespVersion, Value};
use futures_util::FutureExt;
use futures_util::future::{Either, join_all, ready};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::AbortHandle;

use super::address::Address;
use super::config::RedisConfig;
use super::fault::Fault;

/// What fred keeps for a reader of announcements that is slower than the bus. Beyond it the reader is told that it lost
/// some, and reads them from the log: that is a tenth of a second of more than one node can deliver. fred has a handful of
/// such queues a connection and makes each of them as long, and all of it at once: 8 MB.
const ANNOUNCEMENTS_MAX: usize = 8_192;

/// A few turns of the runtime.
const BREATH: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(crate) struct Command {
    name: &'static str,
    args: Vec<Value>,
}

impl Command {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl Into<Value>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A call of a function of the library.
    pub(crate) fn fcall(function: &'static str, keys: &[String], args: &[Bytes]) -> Self {
        let mut values: Vec<Value> = Vec::with_capacity(2 + keys.len() + args.len());
        values.push(Value::from_static_str(function));
        values.push(Value::Integer(keys.len().cast_signed() as i64));
        values.extend(keys.iter().map(|key| Value::from(key.as_str())));
        values.extend(args.iter().map(|arg| Value::Bytes(arg.clone())));
        Self { name: "FCALL", args: values }
    }
}

#[cfg(test)]
impl Command {
    pub(crate) fn words(&self) -> (&'static str, &[Value]) {
        (self.name, &self.args)
    }
}

pub(crate) struct Link {
    client: Client,
    address: Address,
    ended: watch::Receiver<bool>,
    task: AbortHandle,
    reply_deadline: Duration,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// For commands and their answers.
    pub(crate) async fn connect(address: &Address, config: &RedisConfig) -> Result<Self, Fault> {
        Self::connect_with(address, config, 8).await
    }

    /// For announcements.
    pub(crate) async fn connect_to_listen(address: &Address, config: &RedisConfig) -> Result<Self, Fault> {
        Self::connect_with(address, config, ANNOUNCEMENTS_MAX).await
    }

    async fn connect_with(
        address: &Address,
        config: &RedisConfig,
        announcements_max: usize,
    ) -> Result<Self, Fault> {
        let client = client(address, config, announcements_max)?;
        let (made_in, made) = oneshot::channel();
        let (ended_in, ended) = watch::channel(false);
        let connecting = client.clone();
        // fred connects in a task of its own, which must not be left behind when nobody waits for it any more.
        tokio::spawn(async move {
            let task = match connecting.init().await {
                Ok(task) => task,
                Err(error) => return drop(made_in.send(Err(Fault::from(error)))),
            };
            let abort = task.abort_handle();
            if made_in.send(Ok(abort.clone())).is_err() {
                abort.abort();
            }
            let _ = task.await;
            let _ = ended_in.send(true);
        });
        let lost = |why: &str| Fault::Lost(why.into());
        let task = tokio::time::timeout(config.reply_deadline, made)
            .await
            .map_err(|_| lost("no connection in time"))?
            .map_err(|_| lost("no connection"))??;
        Ok(Self { client, address: address.clone(), ended, task, reply_deadline: config.reply_deadline })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the watcher is gone, and it goes last.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Commands take their place in the connection's order when this is called, not when the answer is waited for.
    pub(crate) fn send(&self, command: Command) -> impl Future<Output = Result<Value, Fault>> + Send + use<> {
        self.send_within(command, self.reply_deadline)
    }

    pub(crate) fn send_within(
        &self,
        command: Command,
        deadline: Duration,
    ) -> impl Future<Output = Result<Value, Fault>> + Send + use<> {
        let client = self.client.clone();
        let mut ended = self.ended.clone();
        let task = self.task.clone();
        let Command { name, args } = command;
        let mut reply = Box::pin(async move {
            // Clients here are of one process each, so the slot plays no part; nor may fred think that WAIT blocks.
            let command = CustomCommand::new_static(name, Some(0u16), false);
            client.custom::<Value, Value>(command, args).await
        });
        // The first poll puts it into fred's queue.
        let at_once = reply.as_mut().now_or_never();
        async move {
            let answer = if let Some(answer) = at_once {
                answer
            } else {
                tokio::select! {
                    biased;
                    answer = reply.as_mut() => answer,
                    // After its end fred takes commands and keeps them for a connection that never comes.
                    _ = ended.wait_for(|ended| *ended) => {
                        let lost = || Err(Fault::Lost("the connection has ended".into()));
                        return reply.as_mut().now_or_never().map_or_else(lost, |answer| answer.map_err(Fault::from));
                    }
                    () = overdue(deadline) => {
                        // Answers come in order: behind one that does not come there is nothing to wait for.
                        task.abort();
                        return Err(Fault::Lost("no answer in time".into()));
                    }
                }
            };
            answer.map_err(Fault::from)
        }
    }

    /// Several commands in their order, with nothing between them. The answers are those to the commands, one for each.
    pub(crate) fn send_all(
        &self,
        commands: Vec<Command>,
        deadline: Duration,
    ) -> impl Future<Output = Vec<Result<Value, Fault>>> + Send + use<> {
        let mut ended = self.ended.clone();
        let task = self.task.clone();
        let count = commands.len();
        // In fred a command that knows others behind it does not flush, but those of one of its pipelines do not know.
        let mut replies = Vec::with_capacity(count);
        for Command { name, args } in commands {
            let client = self.client.clone();
            let mut reply = Box::pin(async move {
                let command = CustomCommand::new_static(name, Some(0u16), false);
                client.custom::<Value, Value>(command, args).await
            });
            let at_once = reply.as_mut().now_or_never();
            replies.push(match at_once {
                Some(answer) => Either::Left(ready(answer)),
                None => Either::Right(reply),
            });
        }
        async move {
            let mut all = join_all(replies);
            let lost = |why: &str| (0..count).map(|_| Err(Fault::Lost(why.into()))).collect();
            let answers = tokio::select! {
                biased;
                answers = &mut all => answers,
                _ = ended.wait_for(|ended| *ended) => match all.now_or_never() {
                    Some(answers) => answers,
                    None => return lost("the connection has ended"),
                },
                () = overdue(deadline) => {
                    task.abort();
                    return lost("no answer in time");
                }
            };
            answers.into_iter().map(|answer| answer.map_err(Fault::from)).collect()
        }
    }

    /// Tells the process that the next command is for keys that have arrived there ahead of their slot.
    pub(crate) fn ask(&self, command: Command) -> impl Future<Output = Result<Value, Fault>> + Send + use<> {
        let pipeline = self.client.pipeline();
        let (deadline, task) = (self.reply_deadline, self.task.clone());
        async move {
            let asking = CustomCommand::new_static("ASKING", Some(0u16), false);
            pipeline.custom::<(), Value>(asking, Vec::new()).await?;
            let what = CustomCommand::new_static(command.name, Some(0u16), false);
            pipeline.custom::<(), Value>(what, command.args).await?;
            // One pipeline is one entry of fred's queue, so no other command comes between the two.
            let Ok(mut answers) = tokio::time::timeout(deadline, pipeline.try_all::<Value>()).await else {
                task.abort();
                return Err(Fault::Lost("no answer in time".into()));
            };
            answers.pop().unwrap_or(Ok(Value::Null)).map_err(Fault::from)
        }
    }

    /// What is announced on this connection's channels from now on.
    pub(crate) fn announcements(&self) -> broadcast::Receiver<Message> {
        self.client.message_rx()
    }

    /// One channel a command: fred takes the first confirmation for the whole answer. As many as one likes may be under
    /// way at once.
    pub(crate) fn subscribe(&self, channel: &str) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        self.send(Command::new("SSUBSCRIBE").arg(channel)).map(|answer| answer.map(|_| ()))
    }

    pub(crate) fn unsubscribe(&self, channel: &str) {
        // fred answers this one by itself when it is queued.
        let _ = Box::pin(self.client.sunsubscribe(channel.to_owned())).as_mut().now_or_never();
    }
}

/// Done when nothing has come for so long. A process that has stood still itself finds its timer and the answer at the same
/// moment, and looks at the timer first; so there is a moment for what lies in the socket.
async fn overdue(deadline: Duration) {
    tokio::time::sleep(deadline).await;
    tokio::time::sleep(BREATH).await;
}

fn client(address: &Address, config: &RedisConfig, announcements_max: usize) -> Result<Client, Fault> {
    let mut builder = Builder::from_config(Config {
        server: ServerConfig::Centralized { server: Server::new(&*address.host, address.port) },
        version: RespVersion::RESP3,
        username: config.username.clone(),
        password: config.password.clone(),
        fail_fast: true,
        blocking: Blocking::Block,
        ..Config::default()
    });
    builder.set_connection_config(ConnectionConfig {
        connection_timeout: config.reply_deadline,
        internal_command_timeout: config.reply_deadline,
        max_command_attempts: 1,
        max_redirections: 1,
        auto_client_setname: false,
        disable_cluster_health_check: true,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    });
    builder.set_performance_config(PerformanceConfig {
        broadcast_channel_capacity: announcements_max,
        ..PerformanceConfig::default()
    });
    Ok(builder.build()?)
}
